# SPDX-License-Identifier: Apache-2.0
"""AdamS warns before weight decay destroys a model: when it looks, what it says, how often, and that a cap holds."""
import copy
import warnings

import pytest
import torch

from swd.torch import AdamS, DecayWarning, watch


def steps(optimizer, count, gradient=1.0):
    for _ in range(count):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.full_like(p, gradient)
        optimizer.step()


@pytest.mark.long
def test_the_collapse_of_a_network_is_seen():
    """BatchNorm makes the loss blind to the scale of the weights: smaller weights, smaller gradients, more decay. AdamW's
    0.1, taken for SWD's, ends at chance."""
    torch.manual_seed(0)
    centres = torch.randn(10, 20)
    labels = torch.arange(500) % 10
    x = centres[labels] + 0.3 * torch.randn(500, 20)

    def train(steps, **options):
        torch.manual_seed(1)
        layers = []
        for width in (20, 64):
            layers += [torch.nn.Linear(width, 64), torch.nn.BatchNorm1d(64), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
        optimizer = AdamS(model.parameters(), lr=1e-3, **options)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    with pytest.warns(DecayWarning) as caught:
        early = train(100, weight_decay=0.1)
    assert early < 1.0 and len(caught) == 1 and "decay=\"relative\"" in str(caught[0].message)
    with pytest.warns(DecayWarning):
        assert train(400, weight_decay=0.1) > 1.4 > 2 * early  # past the cliff: 2.12 after 600 steps, and 2.303 is chance
    assert train(150, weight_decay=0.1, decay="relative") < 0.1  # what the warning says; a warning would fail here


def test_a_large_decay_is_said_once_where_the_user_stepped():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.2)
    with pytest.warns(DecayWarning, match=r"weight_decay: a step takes 0.02 of .* have 0.2\. .* Set decay=\"relative\"") as w:
        steps(optimizer, 10)
    assert len(w) == 1 and w[0].filename == __file__ and issubclass(w[0].category, UserWarning)
    steps(copy.deepcopy(optimizer), 100)
    steps(AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.09), 1)  # 0.009: below
    for decay, advice in (("relative", "vbar_reference = 0"), ("decoupled", "Lower lr or weight_decay")):
        with pytest.warns(DecayWarning, match=advice):
            steps(AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.2, decay=decay), 1)


def test_a_decay_that_doubles_is_said():
    """0.0015 at the first look; the gradients fall, and at the second it is 0.005."""
    def optimizer(weight_decay):
        return AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.01, weight_decay=weight_decay)

    def train(optimizer):
        steps(optimizer, 1)
        steps(optimizer, 9, 1e-3)

    with pytest.warns(DecayWarning, match="doubled since the last look, and a step takes 0.00475") as w:
        train(optimizer(0.15))
    assert len(w) == 1
    train(optimizer(0.05))  # 0.0016: it may grow there


def test_a_weight_decay_that_the_user_raises_is_no_growth():
    optimizer = AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.01, weight_decay=0.15)
    steps(optimizer, 9)
    optimizer.param_groups[0]["weight_decay"] = 0.6
    steps(optimizer, 1)


@pytest.fixture
def looked(monkeypatch):
    """The steps at which AdamS looked."""
    found = []

    class Counted(watch.Fetch):
        def __init__(self, engine):
            found.append(int(engine.image.read()[1][0]))
            super().__init__(engine)

    monkeypatch.setattr(watch, "Fetch", Counted)
    return found


def test_it_looks_for_ever(looked):
    steps(AdamS([torch.nn.Parameter(torch.ones(4))]), 3100)
    assert looked == [1, 10, 100, 1000, 2000, 3000]


def test_a_skipped_step_is_looked_at_again(looked):
    optimizer = AdamS([torch.nn.Parameter(torch.ones(4))], lr=0.1, weight_decay=0.2)
    steps(optimizer, 2, float("nan"))
    with pytest.warns(DecayWarning):
        steps(optimizer, 1)
    assert looked == [0, 0, 1]


def test_no_step_takes_more_than_a_tenth_unless_told():
    for options, left in ((dict(), 0.9), (dict(max_decay=0.3), 0.7)):
        param = torch.nn.Parameter(torch.ones(4))
        optimizer = AdamS([param], lr=1.0, betas=(0.0, 0.0), weight_decay=0.5, **options)
        param.grad = torch.full((4,), 1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DecayWarning)
            optimizer.step()
        assert (param.detach() + 1.0).tolist() == pytest.approx([left] * 4, abs=1e-4)
        assert optimizer.stats()["decay_capped"]
