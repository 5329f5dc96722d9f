"""The checks pass every method there is, and each finds what it is there to find."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny  # noqa: F401 - one thread

from rsir_bench.base.errors import UserError
from rsir_bench.conformance import CHECKS, check, check_entry
from rsir_bench.method import FrontEnd
from rsir_bench.method.registry import discover
from rsir_bench.method.template import write_template

FOUND = discover()
OWN_INPUT = ("hf", "open_clip", "torchgeo")
"""Encoders that take part in protocols without a training only."""

GOOD = """
import torch
from torch import nn
from torch.nn import functional
from rsir_bench.method import *
from rsir_bench.method import Card, Method, ParameterGroup, Row, Settings

class Mine(Method):
    card = Card(
        name="mine", title="Mine", paper="none", year=2026, stated=["a"], choices=["b"],
        rows={"FC": Row(descriptor="fc"), "Hashing": Row(descriptor="embedding", kind="code")},
    )

    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.trunk = setup.trunk()
        self.embed = nn.Linear(self.trunk.features, 16)
        self.classes = nn.Linear(16, setup.classes)
        #init

    def describe(self, scenes):
        embedding = self.embed(self.trunk(scenes))
        fc = self.classes(embedding)
        #describe
        return {"fc": fc, "embedding": embedding}

    def loss(self, batch):
        given = self.describe(batch.scenes)
        fc = given["fc"]
        #loss
        return functional.cross_entropy(fc, batch.labels)

    #more
"""


def plugin(folder: Path, **changes: str) -> Path:
    """A good method with lines put in the place of its marks, or ``swap="old => new"``."""
    text = GOOD
    old, _, new = changes.pop("swap", "").partition(" => ")
    text = text.replace(old, new) if old else text
    for mark, line in changes.items():
        assert f"#{mark}" in text
        text = text.replace(f"#{mark}", line)
    path = folder / "mine.py"
    path.write_text(text)
    return path


def argument(name: str) -> str:
    """The name with something after the colon, where the method cannot do without."""
    return f"{name}:test_resnet@none" if name in ("timm", *OWN_INPUT) else name


def own_trunk_first(name: str):
    """Those that bring a trunk of full depth take ten seconds, the others one or two."""
    own = getattr(FOUND[name].method_class.card, "trunk", None)
    return pytest.param(name, marks=pytest.mark.slow) if own else name


@pytest.mark.contract
@pytest.mark.parametrize("name", [own_trunk_first(name) for name in FOUND if name not in OWN_INPUT])
def test_every_method_keeps_the_contract(name):
    report = check_entry(argument(name), FOUND)
    assert report.passed, str(report)


def test_every_check_is_made_of_a_trained_method(tmp_path):
    (report,) = check(str(plugin(tmp_path)))
    assert report.passed, str(report)
    assert [outcome.check for outcome in report.outcomes] == [each.name for each in CHECKS]


def test_what_needs_training_is_not_asked_of_an_untrained_method(tmp_path):
    (report,) = check(str(plugin(tmp_path, swap='year=2026, stated=["a"] => year=2026, trained=False')))
    assert report.passed, str(report)
    assert [outcome.check for outcome in report.outcomes] == [each.name for each in CHECKS if not each.training]


DROPOUT = "embedding = functional.dropout(embedding, 0.5)"
# What is broken -> the check that must find it first, what it says, and the line that breaks it.
BROKEN = {
    "no gradient to a layer": ("gradients", "idle.weight", {"init": "self.idle = nn.Linear(2, 2)"}),
    "gradient cut": (
        "gradients",
        "trunk.backbone.conv1",
        {"swap": "self.trunk(scenes)) => self.trunk(scenes).detach())"},
    ),
    "frozen part let loose": (
        "frozen parts",
        "does not freeze trunk.backbone.",
        {"init": "self.trunk.requires_grad_(True)"},
    ),
    "frozen statistics moved": (
        "frozen parts",
        "trunk.backbone.bn1.running_mean",
        {"more": "def train(self, mode=True):\n        [m.train(mode) for m in self.children()]\n"
         "        [m.train(mode) for m in self.trunk.modules() if m is not self.trunk]\n        return self"},
    ),
    "dropout left on": (
        "deterministic",
        "descriptor 'fc' differs",
        {"swap": f"fc = self.classes => {DROPOUT}; fc = self.classes"},
    ),
    "describing counts": (
        "deterministic",
        "changes seen",
        {"init": "self.register_buffer('seen', torch.zeros(1))", "describe": "self.seen += 1"},
    ),
    "centred on the batch": ("batch", "alone and in a batch", {"describe": "fc = fc - 0.1 * fc.detach().mean(0)"}),
    "depends on its place": (
        "batch",
        "'fc' of a scene differs",
        {"describe": "fc = fc + torch.arange(len(fc))[:, None]"},
    ),
    "NaN descriptor": ("rows", "not finite", {"describe": "embedding = embedding / 0 * 0"}),
    "NaN loss": ("training set", "loss is nan", {"loss": "fc = fc / 0 * 0"}),
    "wrong shape": ("rows", "shape (6, 7, 1)", {"describe": "return {'fc': fc[..., None], 'embedding': embedding}"}),
    "not a float": ("rows", "torch.int64", {"describe": "return {'fc': fc, 'embedding': embedding.long()}"}),
    "missing row": ("rows", "'embedding' is missing; describe() returns fc", {"describe": "return {'fc': fc}"}),
    "group without a tensor": (
        "parameter groups",
        "leaves out embed.bias",
        {"more": "def parameter_groups(self):\n        return [ParameterGroup("
         "[p for n, p in self.named_parameters() if n != 'embed.bias'])]"},
    ),
    "a tensor in two groups": (
        "parameter groups",
        "more than once: embed.bias, embed.weight",
        {"more": "def parameter_groups(self):\n        return [ParameterGroup(list(m.parameters())) "
         "for m in (self, self.embed)]"},
    ),
    "state not saved": (
        "save and load",
        "state_dict() lacks something",
        {"init": "self.mean = 0", "loss": "self.mean = fc.detach().mean(0)",
         "swap": "return {\"fc\": fc, => return {\"fc\": fc if self.training else fc - self.mean,"},
    ),
    "state of training not saved": (
        "resume",
        "the loss after a resume",
        {"init": "self.steps = 0", "loss": "self.steps += 1; fc = fc * (2 if self.steps < 4 else 1)"},
    ),
    "compares scenes and says it does not": (
        "split",
        "parts of a batch cost",
        {"more": "distributed_loss = 'mean'", "loss": "fc = fc * len(fc) / 16"},
    ),
    "learns nothing": ("learns", "hardly falls", {"loss": "fc = fc * 1e-3"}),
    "descriptors that tell nothing": (
        "learns",
        "nearest neighbour of their class",
        {"describe": "if not self.training: fc = fc.mean(1, keepdim=True).expand(-1, 7); embedding = fc"},
    ),
    "constant code": ("codes", "16 of 16 bits are the same", {"describe": "embedding = embedding.square() + 1"}),
    "nearly all bits constant": (
        "codes",
        "15 of 16 bits are the same",
        {"describe": "embedding = torch.cat([scenes.mean((1, 2, 3))[:, None] - 0.5, embedding[:, 1:].abs() + 1], 1)"},
    ),
    "not for many bands": ("other shape", "mine.py:", {"describe": "assert scenes.shape[1] == 3"}),
    "exception in loss": (
        "training set",
        "RuntimeError: no loss today (mine.py:30)",
        {"loss": "raise RuntimeError('no loss today')"},
    ),
    "exception when built": ("builds", "ZeroDivisionError: division by zero (mine.py:19)", {"init": "1 / 0"}),
    "overflow in half precision": ("bf16", "loss is", {"loss": "fc = fc if fc.dtype == torch.float32 else fc / 0"}),
    "incomplete card": ("card", "stated is empty", {"swap": 'stated=["a"] => stated=[]'}),
    "blank title": ("card", "title is empty", {"swap": 'title="Mine" => title=" "'}),
    "a row the paper lacks": (
        "card",
        "row 'FC': the paper has no ('JSST', 'PGN-X')",
        {"swap": 'Row(descriptor="fc") => Row(descriptor="fc", paper=("JSST", "PGN-X"))'},
    ),
    "settings that take anything": (
        "settings",
        "Loose: accepts settings that do not exist",
        {"more": "class Loose(Settings):\n        model_config = {'extra': 'ignore'}\n    Settings = Loose"},
    ),
    "batches that are not always as many": (
        "batches",
        "batches in one epoch and ",
        {"more": "def batches(self, labels, size, generator):\n        kept = torch.rand(len(labels), "
         "generator=generator) < 0.8\n        return list(torch.nonzero(kept).flatten().split(4))"},
    ),
    "a batch of no such scene": (
        "batches",
        "scenes run from 0 to 31",
        {"more": "def batches(self, labels, size, generator):\n        return [torch.arange(33)]"},
    ),
    "a figure that is no number": (
        "training set",
        "could not convert",
        {"more": "def epoch_metrics(self):\n        return {'figure': 'many'}"},
    ),
    "the process is told to end": (
        "training set",
        "SystemExit: 0 (mine.py:30)",
        {"loss": "raise SystemExit(0)"},
    ),
    "a loss of each scene": (
        "training set",
        "loss() returned a tensor of shape (16,); return a scalar",
        {"swap": "return functional.cross_entropy(fc, batch.labels) => "
         "return functional.cross_entropy(fc, batch.labels, reduction='none')"},
    ),
    "no return": (
        "training set",
        "loss() returned None; forgot return?",
        {"swap": "return functional.cross_entropy => functional.cross_entropy"},
    ),
    "a loss in NumPy": (
        "training set",
        "loss() returned numpy.float32;",
        {"loss": "return fc.detach().numpy().mean()"},
    ),
    "a loss in Python": ("training set", "loss() returned float;", {"loss": "return fc.mean().item()"}),
    "a detached loss": ("training set", "without a gradient", {"loss": "fc = fc.detach()"}),
    "a term of several": (
        "training set",
        "loss() as term 'all' returned a tensor of shape (16, 7)",
        {"loss": "return {'all': fc}"},
    ),
    "larger batches than asked": (
        "batches",
        "batches() returned 17 scenes in a batch, more than the 16 asked for",
        {"more": "def batches(self, labels, size, generator):\n"
         "        return super().batches(labels, size + 5, generator)"},
    ),
    "labels for indices": (
        "batches",
        "batches() returned only indices below 7, the number of classes",
        {"more": "def batches(self, labels, size, generator):\n"
         "        return [labels[i] for i in super().batches(labels, size, generator)]"},
    ),
    "batches in lists": (
        "batches",
        "batches() returned list as a batch",
        {"more": "def batches(self, labels, size, generator):\n        return [[0, 1]]"},
    ),
    "a tensor for descriptors": (
        "rows",
        "describe() must return {name: Tensor}, but returned Tensor",
        {"describe": "return fc"},
    ),
    "lists for descriptors": ("rows", "returned list as 'fc'", {"describe": "return {'fc': fc.tolist()}"}),
    "NumPy for descriptors": (
        "rows",
        "returned numpy.ndarray as 'fc'",
        {"describe": "return {'fc': fc.detach().numpy()}"},
    ),
    "super().__init__ forgotten": (
        "builds",
        "call (mine.py:16)",
        {"swap": "super().__init__(setup, settings) => pass"},
    ),
    "a scene without a class": (
        "training set",
        "labels are not int64 classes",
        {"more": "def training_set(self, number, previous, source, pool):\n"
         "        return source.take(source.row, source.labels - 1)"},
    ),
}  # fmt: skip


# What changes the precision -> what the report says, and the line that does it; everything else about it is right.
PRECISIONS = {
    "a descriptor in double": (
        "describe() returns 'fc' in torch.float64",
        {"describe": "if not self.training: fc = fc.double()"},
    ),
    "a loss in double": ("loss() returns 'loss' in torch.float64", {"loss": "fc = fc.double()"}),
    "a loss in bf16": (
        "loss() computes in torch.bfloat16 (conv",
        {"swap": "given = self.describe(batch.scenes) => "
         "with torch.autocast('cpu', torch.bfloat16):\n            given = self.describe(batch.scenes)",
         "loss": "fc = fc.float()"},
    ),
    "describing in half": (
        "describe() computes in torch.float16 (",
        {"describe": "if not self.training: functional.linear(embedding.half(), self.embed.weight.T.half())"},
    ),
    "autocast switched off": (
        "loss() has no convolution or matrix product in bf16 under precision bf16",
        {"swap": "given = self.describe(batch.scenes) => "
         "with torch.autocast('cpu', enabled=False):\n            given = self.describe(batch.scenes)"},
    ),
    "a recipe in another": (
        "recipe() changes the precision from 32 to bf16",
        {"more": "def recipe(self, train):\n        return train.model_copy(update={'precision': 'bf16'})"},
    ),
    "weights in double": (
        "scale is torch.float64",
        {"init": "self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))",
         "describe": "fc = fc * self.scale.float()"},
    ),
}  # fmt: skip


@pytest.mark.contract
@pytest.mark.parametrize("what", PRECISIONS)
def test_another_precision_fails_at_its_check_alone(what, tmp_path):
    says, changes = PRECISIONS[what]
    (report,) = check(str(plugin(tmp_path, **changes)))
    assert report.failed == ["precision"], str(report)
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == "precision")
    assert says in outcome.detail


# What is wrong with the effect of a front end -> what the report says, and its displacement.
EFFECTS = {
    "not a number": (
        "displacement() returned nan to nan; return finite pixels",
        "scenes.new_full((len(scenes),), torch.nan)",
    ),
    "endless": ("displacement() returned inf to inf", "scenes.new_full((len(scenes),), torch.inf)"),
    "below zero": ("displacement() returned -1 to -1", "-scenes.new_ones(len(scenes))"),
    "one for all scenes": ("displacement() returned float; return (32,) floats", "0.0"),
    "of every pixel": ("displacement() returned torch.float32 of shape (32, 40, 40)", "scenes[:, 0]"),
    "it raises": ("ZeroDivisionError", "1 / 0"),
}

FRONT = """
import torch
from rsir_bench.method import FrontEnd, FrontEndCard
class Gain(FrontEnd):
    card = FrontEndCard(name="gain", title="Gain", paper="none", year=2026, stated=["a"], choices=["b"])
    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.gain = torch.nn.Parameter(torch.ones(()))
    def forward(self, scenes):
        return scenes * self.gain
"""


@pytest.mark.contract
@pytest.mark.parametrize("what", EFFECTS)
def test_a_front_end_without_an_effect_fails_at_its_check_alone(what, tmp_path):
    says, given = EFFECTS[what]
    path = tmp_path / "front.py"
    path.write_text(f"{FRONT}    def displacement(self, scenes):\n        return {given}\n")
    (report,) = check(str(path))
    assert report.failed == ["effect"], str(report)
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == "effect")
    assert says in outcome.detail


@pytest.mark.contract
@pytest.mark.parametrize("shift", [1, 9])
def test_a_front_end_that_moves_pixels_says_how_far(shift, tmp_path):
    path = tmp_path / "front.py"
    path.write_text(FRONT.replace("scenes * self.gain", f"self.gain * scenes.roll({shift}, 3)"))
    (report,) = check(str(path))
    assert report.failed == ["effect"], str(report)
    assert f"Gain moves pixels, for example by {shift} px" in str(report)


@pytest.mark.contract
@pytest.mark.parametrize(
    "body",
    [
        pytest.param("(scenes + scenes.roll(1, 3) + scenes.roll(-1, 3)) / 3", id="mean"),
        pytest.param("(scenes.roll(1, 3) - scenes.roll(-1, 3)).abs()", id="edges"),
        pytest.param(
            "torch.nn.functional.conv2d(scenes.flatten(0, 1)[:, None], "
            "torch.randn(1, 1, 7, 7, generator=torch.Generator().manual_seed(3)), padding=3).view(scenes.shape)",
            id="convolution",
        ),
    ],
)
def test_a_front_end_that_spreads_pixels_without_moving_them_passes(body, tmp_path):
    """The change may be strongest next to the pixel that was changed, on both sides of it."""
    path = tmp_path / "front.py"
    path.write_text(FRONT.replace("scenes * self.gain", f"self.gain * ({body})"))
    (report,) = check(str(path))
    assert report.failed == [], str(report)


@pytest.mark.contract
def test_an_effect_that_is_not_defined_is_one(tmp_path):
    path = tmp_path / "front.py"
    path.write_text(f"{FRONT}    def displacement(self, scenes):\n        return None\n")
    (report,) = check(str(path))
    assert report.passed, str(report)
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == "effect")
    assert outcome.detail.startswith("moves scenes: not defined; changes values by ")


@pytest.mark.contract
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_fails_where_it_is_broken(what, tmp_path):
    expected, says, changes = BROKEN[what]
    (report,) = check(str(plugin(tmp_path, **changes)))
    assert report.failed[0] == expected, str(report)  # what is broken may fail later checks as well
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == expected)
    assert says in outcome.detail
    assert "Traceback" not in str(report)


# What is wrong with a file -> what the report says, and the lines that make it so.
UNLOADABLE = {
    "torn": ("SyntaxError: '(' was never closed (mine.py, line", {"swap": "card = Card( => card = Card(("}),
    "loss forgotten": ("class Mine lacks loss", {"swap": "def loss => def lost"}),
    "card forgotten": ("class Mine lacks a card", {"swap": "card = Card( => cart = Card("}),
    "settings in a dictionary": (
        "class Mine has Settings that are a dict; derive a class from rsir_bench.method.Settings",
        {"more": "Settings = {'a': 1}"},
    ),
    "name in capitals": (
        "card.name 'My_Method': lower-case letters, digits and '-'",
        {"swap": 'name="mine" => name="My_Method"'},
    ),
    "no title": ("card.title: is missing", {"swap": 'title="Mine",  => '}),
    "unknown field": ("card.titel: there is no such field; its fields: name, title,", {"swap": "title= => titel="}),
    "one class twice": (
        "class Mine is defined on lines 8 and 34, and only the last one is used",
        {"more": "\nclass Mine(Method):\n    pass\n"},
    ),
    "one card twice": (
        "classes on lines 8 and 34 of ",
        {"more": "\nclass Other(Mine):\n    card = Mine.card.model_copy(update={'year': 2027})\n"},
    ),
}


@pytest.mark.parametrize("what", UNLOADABLE)
def test_a_file_that_cannot_be_loaded_says_what_to_mend(what, tmp_path):
    says, changes = UNLOADABLE[what]
    path = plugin(tmp_path, **changes)
    (report,) = check(str(path))
    (outcome,) = report.outcomes
    assert report.failed == ["loads"]
    assert says in outcome.detail
    for noise in ("pydantic", "Traceback", "importlib", "\n"):
        assert noise not in outcome.detail


OWN_TRUNK = (
    """self.trunk = Trunk(load_backbone("mobilenetv3_small_050", "none", {}, setup.bands), setup.bands, setup.size)"""
)


@pytest.mark.contract
@pytest.mark.parametrize("frozen", ["", ", frozen=setup.protocol.trunk.frozen"])
def test_a_trunk_of_another_kind_has_other_parts(frozen, tmp_path):
    own = OWN_TRUNK[:-1] + f"{frozen})"
    path = plugin(tmp_path, swap=f"self.trunk = setup.trunk() => {own}")
    path.write_text("from rsir_bench.nn.trunk import Trunk, load_backbone\n" + path.read_text())
    (report,) = check(str(path))
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == "frozen parts")
    assert (outcome.state, outcome.detail) == ("ok", "it has a trunk of its own, without the protocol's parts")


def test_a_fixed_size_names_the_argument(tmp_path):
    own = OWN_TRUNK.replace("mobilenetv3_small_050", "vit_tiny_patch16_224")
    path = plugin(tmp_path, swap=f"self.trunk = setup.trunk() => {own}")
    path.write_text("from rsir_bench.nn.trunk import Trunk, load_backbone\n" + path.read_text())
    (report,) = check(str(path))
    assert report.failed == ["builds"]
    assert '{"img_size": setup.size}' in str(report)


def test_checks_that_were_not_run_are_one_line(tmp_path):
    (report,) = check(str(plugin(tmp_path, init="1 / 0")))
    (line,) = (line for line in str(report).splitlines() if "not run" in line)
    assert "they need what failed: parameter groups, rows, batches, training set" in line


def test_a_front_end_is_checked_before_its_method(tmp_path):
    path = tmp_path / "front.py"
    path.write_text(FRONT)
    (report,) = check(str(path))
    assert report.passed, str(report)
    (outcome,) = (outcome for outcome in report.outcomes if outcome.check == "effect")
    assert outcome.detail.startswith("moves scenes: 0 px; changes values by ")
    path.write_text(FRONT.replace("scenes * self.gain", "scenes * self.gain.detach()"))
    (report,) = check(str(path))
    assert report.failed == ["gradients"], str(report)
    assert "front.gain" in str(report)


def test_a_file_that_cannot_be_imported_gets_a_report(tmp_path):
    path = plugin(tmp_path, swap="import torch => import torch\n1 / 0")
    (report,) = check(str(path))
    assert report.failed == ["loads"]
    assert "ZeroDivisionError: division by zero" in str(report)
    assert "mine.py:3" in str(report)


def test_every_method_of_a_file_is_checked(tmp_path):
    path = plugin(tmp_path, init="1 / 0")
    path.write_text(path.read_text() + path.read_text().replace('"mine"', '"other"').replace("Mine", "Other"))
    assert [report.name for report in check(str(path))] == ["mine", "other"]


def test_a_file_of_the_folder_is_no_second_claim():
    methods = [entry for entry in FOUND.values() if not issubclass(entry.method_class, FrontEnd)]
    entry = next(entry for entry in methods if entry.method_class.card.trained)
    (report,) = (report for report in check(str(entry.source)) if report.name == entry.name)
    assert report.passed, str(report)


@pytest.mark.parametrize("word", ["nowhere.py", "nonesuch-method"])
def test_nothing_to_check(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        check(word)


@pytest.mark.parametrize("name", ["mine", "my-2nd-method"])
def test_a_new_method_passes_unedited(name, tmp_path):
    path = write_template(name, tmp_path)
    (report,) = check(str(path))
    assert (report.name, report.passed) == (name, True), str(report)


def test_a_new_method_overwrites_nothing(tmp_path):
    path = write_template("mine", tmp_path)
    path.write_text("kept")
    with pytest.raises(UserError, match="already exists"):
        write_template("mine", tmp_path)
    assert path.read_text() == "kept"


@pytest.mark.parametrize("name", ["Mine", "my_method", "2nd", "", "a/b"])
def test_names_that_no_method_can_have(name, tmp_path):
    with pytest.raises(UserError, match="not a valid method name"):
        write_template(name, tmp_path)


def test_the_report_of_a_broken_plugin_is_a_table(tmp_path):
    (report,) = check(str(plugin(tmp_path, init="1 / 0")))
    text = str(report)
    assert json.dumps(text)  # plain text
    assert "builds" in text
    assert "not run" in text
    assert text.endswith("mine fails: builds.")


@pytest.mark.parametrize("name", ["hf:some/model", "open_clip:ViT-B-32@none", "torchgeo:resnet18@none"])
def test_encoders_with_the_input_of_their_weights_are_not_checked(name):
    with pytest.raises(UserError, match="it brings its own; run it: rsir-bench run --protocol frozen --methods"):
        check_entry(name, FOUND)
