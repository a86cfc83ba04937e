# SPDX-License-Identifier: Apache-2.0
"""Stories of what happens between backward and step of an AdamS with overlap_norm; w: a World. Used by test_overlap."""
import copy
import pickle
import threading

import torch


def zeroed(w):
    w.optimizer.zero_grad()
    w.backward()


def clipped(w):
    zeroed(w)
    torch.nn.utils.clip_grad_norm_(w.net.parameters(), 0.1)


def in_place(w):
    zeroed(w)
    w.net.b.weight.grad.mul_(3.0)
    w.net.a.bias.grad[:2] = 0.5


def replaced(w):
    zeroed(w)
    w.net.b.weight.grad = w.net.b.weight.grad * 3.0


def replaced_in_its_place(w):
    """The new tensor lies where the old one lay, and has its version."""
    zeroed(w)
    where, w.net.n.weight.grad = w.net.n.weight.grad.data_ptr(), None
    kept = []
    for _ in range(50):
        kept.append(torch.full((70,), 0.25))
        if kept[-1].data_ptr() == where:
            break
    w.net.n.weight.grad = kept[-1]


def taken_away(w):
    zeroed(w)
    if w.step > 2:
        w.net.b.bias.grad = None


def accumulated(w):
    w.optimizer.zero_grad(set_to_none=w.step % 2 == 0)
    for _ in range(3):
        w.backward()


def announced(w):
    w.optimizer.zero_grad()
    with w.optimizer.accumulate():
        w.backward()
        w.backward()
    w.backward()


def announced_wrongly(w):
    zeroed(w)
    with w.optimizer.accumulate():
        w.backward()


def thrown_away(w):
    zeroed(w)
    w.net.zero_grad(set_to_none=w.step % 2 == 0)
    w.backward()


def half_thrown_away(w):
    """What was reduced must not join a step in which it has no gradient."""
    zeroed(w)
    w.net.zero_grad()
    w.net.a(torch.randn(2, 6).to(w.net.a.bias.dtype)).float().square().mean().backward()


def other_betas(w):
    zeroed(w)
    w.optimizer.param_groups[0]["betas"] = (0.7, 0.9 + 0.01 * w.step)


def other_options(w):
    zeroed(w)
    w.optimizer.param_groups[0].update(lr=0.03, weight_decay=0.01 * w.step)
    w.optimizer.max_grad_norm = 0.1 + w.step


def state_edited(w):
    zeroed(w)
    state = w.optimizer.state.get(w.net.b.weight)
    if state:
        state["step"].fill_(3)
        w.optimizer.state[w.net.a.weight]["exp_avg_sq"].mul_(2.0)


def state_replaced(w):
    zeroed(w)
    if w.step:
        w.optimizer.state[w.net.a.weight]["exp_avg"] = torch.ones_like(w.net.a.weight)


def asked(w):
    zeroed(w)
    w.extra.append(torch.tensor(w.optimizer.vbar()))
    w.optimizer.stats(), w.optimizer.state_dict()


def loaded(w):
    zeroed(w)
    w.optimizer.load_state_dict(copy.deepcopy(w.optimizer.state_dict()))


def parameter_moved(w):
    """The memory of the old parameter may be a gradient's at the next step."""
    zeroed(w)
    w.net.a.weight.data = w.net.a.weight.data.clone()
    w.net.n.weight.data = w.net.n.weight.data.clone()


def not_finite(w):
    zeroed(w)
    if w.step == 2:
        w.net.b.weight.grad[0, 0] = float("nan")


def not_finite_by_itself(w):
    w.optimizer.zero_grad()
    w.backward(float("inf") if w.step in (1, 3) else 1.0)


def thawed(w):
    w.net.c.requires_grad_(w.step > 2)
    zeroed(w)


def added(w):
    zeroed(w)
    if w.step == 2:
        new = torch.nn.Parameter(torch.randn(80))
        w.optimizer.add_param_group({"params": [new], "lr": 0.1})
    for group in w.optimizer.param_groups[1:]:
        for param in group["params"]:
            (param * torch.randn_like(param)).sum().backward()


def toggled(w):
    w.optimizer.overlap_norm = w.optimizer.overlap_norm is not (w.step == 3)
    zeroed(w)


def threaded(w):
    thread = threading.Thread(target=zeroed, args=(w,))
    thread.start()
    thread.join()


def twice(w):
    zeroed(w)
    w.optimizer.step()


def by_the_model(w):
    w.net.zero_grad()
    w.backward()


def copied(w):
    zeroed(w)
    if w.step == 2:
        w.net, w.optimizer = copy.deepcopy((w.net, w.optimizer))
    elif w.step == 4:
        w.net, w.optimizer = pickle.loads(pickle.dumps((w.net, w.optimizer)))


STORIES = [zeroed, clipped, in_place, replaced, replaced_in_its_place, taken_away, accumulated, announced, announced_wrongly,
           thrown_away, half_thrown_away, other_betas, other_options, state_edited, state_replaced, asked, loaded,
           parameter_moved, not_finite, not_finite_by_itself, thawed, added, toggled, threaded, twice, by_the_model, copied]
