# SPDX-License-Identifier: Apache-2.0
"""What users do to the states of an AdamS between two steps, done to it and to its model: edits, other optimizers,
checkpoints, copies. Used by test_histories; Run is in histories."""
import copy
import pickle

import torch

from histories import exact
from histories_moves import keep_norm, make_finite, new_gradients
from resume import through_file
from swd.torch import AdamS, flatten

# ---- Edits ----


def in_place(tensor):
    with torch.no_grad():
        tensor.mul_(0.5)


def grown(run, param):
    """Another parameter with one row more, or two rows, in its place with its state, as gaussian splatting does."""
    add = lambda tensor: torch.cat([tensor, tensor[:1]]) if len(tensor) < 9 else tensor[:2].clone()
    new, state = torch.nn.Parameter(add(param.detach())), run.optimizer.state.pop(param, None)
    for group in run.optimizer.param_groups:
        group["params"][:] = [new if one is param else one for one in group["params"]]
    if state:
        state.update({name: add(value) for name, value in state.items() if isinstance(value, torch.Tensor) and value.dim()})
        run.optimizer.state[new] = state


def other_state(run, param):
    run.optimizer.vbar()  # else a sum from before an edit comes along, and is warned of
    state = run.optimizer.state[param]
    run.optimizer.state[param] = {name: copy.deepcopy(value) for name, value in state.items()}


def of_state(change):
    return lambda run, param: change(run.optimizer.state[param])


EDITS = {  # the first ones also of parameters without state
    "parameter": lambda run, param: in_place(param),
    "parameter.data": lambda run, param: param.data.add_(0.25),
    "parameter elsewhere": lambda run, param: setattr(param, "data", param.data.clone()),
    "grown": grown,
    "exp_avg": of_state(lambda s: s["exp_avg"].mul_(-0.5)),
    "exp_avg.data": of_state(lambda s: s["exp_avg"].data.mul_(-0.5)),
    "exp_avg replaced": of_state(lambda s: s.update(exp_avg=s["exp_avg"] * 2)),
    "exp_avg_sq": of_state(lambda s: s["exp_avg_sq"].mul_(3.0)),
    "exp_avg_sq rows": of_state(lambda s: (s["exp_avg_sq"][:1].zero_(), s["exp_avg"][:1].zero_())),
    "exp_avg_sq replaced": of_state(lambda s: s.update(exp_avg_sq=s["exp_avg_sq"] * 0.5)),
    "exp_avg_sq elsewhere": of_state(lambda s: setattr(s["exp_avg_sq"], "data", s["exp_avg_sq"] * 0.5)),
    "step": of_state(lambda s: s["step"].fill_(5)),
    "other state": other_state,
    "no state": lambda run, param: run.optimizer.state.pop(param),
}


def edit(run, how, one):
    """Of moments only where a layout is: a sum that was loaded with other moments is warned of, which is tested elsewhere."""
    params = run.params()
    param = params[one % len(params)]
    live = isinstance(run.optimizer.state.get(param, {}).get("exp_avg_sq_sum"), torch.Tensor)
    if live or how.startswith("parameter") or how == "grown" and not run.optimizer.state.get(param):
        EDITS[how](run, param)
        run.read_state()
        run.read_gradients()


# ---- Other optimizers ----


def adamw_beside(run, kinds, seed):
    """It steps the same parameters, and AdamS is not told."""
    new_gradients(run, kinds, seed, 1.0)
    make_finite(run)
    torch.optim.AdamW(run.params(), lr=0.01, eps=1e-3).step()  # 1e-8 is 0 in float16
    for param, place in run.pairs():
        place.p = exact(run.optimizer, param)


def through_adamw(run, steps, saves, kinds, seed):
    """AdamS, AdamW for some steps, AdamS again; then saved and loaded without a step."""
    ours = run.optimizer
    if any(param.dtype != torch.float32 for param in run.params()) or any(  # of others it rounds the moments
            group["amsgrad"] and ours.state.get(param) and "max_exp_avg_sq" not in ours.state[param]
            for group in ours.param_groups for param in group["params"]):
        return
    theirs = torch.optim.AdamW([{"params": group["params"]} for group in ours.param_groups])
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    for k in range(steps):
        new_gradients(run, kinds, seed + k, 1.0)
        make_finite(run)
        theirs.step()
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for _ in range(saves):
        again(ours)
    run.read_state(theirs.state)


# ---- Checkpoints and copies ----


def again(optimizer):
    """Saved and loaded, with nothing between."""
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def load(run, saved, one, fresh, in_file):
    """Into the same optimizer, or into one that is made anew. Parameters go back to what they were, too."""
    fitting = [entry for entry in saved if [place.p.shape for place in entry[1].places()]
               == [place.p.shape for place in run.plain.places()]
               and [len(group["places"]) for group in entry[1].groups] == [len(group["places"]) for group in run.plain.groups]]
    if not fitting:
        return
    state_dict, plain, shown = fitting[one % len(fitting)]
    whole, params = run.plain.whole, run.params()
    if fresh:
        run.optimizer = AdamS([{"params": group["params"]} for group in run.optimizer.param_groups], lr=0.5)
        for name, value in whole.items():
            setattr(run.optimizer, name, value)
    run.optimizer.load_state_dict(through_file(state_dict) if in_file else copy.deepcopy(state_dict))
    for param, value in zip(params, shown):
        param.data.copy_(value)
    run.plain = copy.deepcopy(plain)
    run.plain.whole = whole
    keep_norm(run)
    run.read_gradients()


def copy_run(run, pickled, flat):
    """The copy goes on. Returns what must stay as it is: the original, and its bits."""
    original, bits = copy.copy(run), run.bits()
    run.optimizer = pickle.loads(pickle.dumps(run.optimizer)) if pickled else copy.deepcopy(run.optimizer)
    if flat:
        flatten(run.params())
    run.plain = copy.deepcopy(run.plain)
    run.read_gradients()
    return original, bits
