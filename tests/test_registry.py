from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import CLASSES, message, some_scenes, tiny_setup

import rsir_bench.methods
from rsir_bench.method import Method
from rsir_bench.method.card_text import method_card
from rsir_bench.method.registry import RegisteredMethod, discover, find, resolve
from rsir_bench.method.spec import MethodSpec

PLUGIN = """
import torch
from rsir_bench.method import Card, Method, Row

class {kind}(Method):
    card = Card(name="{name}", title="Mine", paper="none", year=2026, rows={{"Mean": Row(descriptor="mean")}})

    def __init__(self, setup, settings):
        super().__init__(setup, settings)
        self.gain = torch.nn.Parameter(torch.ones(setup.classes, setup.bands))

    def describe(self, scenes):
        return {{"mean": scenes.mean((2, 3)) @ self.gain.T}}

    def loss(self, batch):
        return torch.nn.functional.cross_entropy(self.describe(batch.scenes)["mean"], batch.labels)
"""


def write_plugin(folder: Path, name: str = "mine", file: str = "mine.py", kind: str = "Mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(PLUGIN.format(name=name, kind=kind))
    return folder / file


@pytest.fixture(autouse=True)
def _forget_modules_of_the_test(tmp_path: Path) -> Iterator[None]:
    """The next test may bring other modules of the same names."""
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def found() -> dict[str, RegisteredMethod]:
    return discover()


def named(name: str, defaults: dict[str, Any] | None = None, **settings: dict[str, Any]) -> MethodSpec:
    return resolve(name, discover(), settings, defaults or {})


class TestFolder:
    def test_every_file_of_the_folder_is_found_with_its_path(self, found):
        folder = Path(rsir_bench.methods.__file__).parent
        for entry in found.values():
            assert entry.source.parent.samefile(folder)
        files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert {entry.source.stem for entry in found.values()} == files
        assert {"baseline", "jsst", "timm"} <= set(found)
        assert list(found) == sorted(found)

    def test_a_file_dropped_into_the_folder(self, tmp_path, monkeypatch):
        write_plugin(tmp_path, name="dropped", file="dropped.py")
        monkeypatch.setattr(rsir_bench.methods, "__path__", [*rsir_bench.methods.__path__, str(tmp_path)])
        importlib.invalidate_caches()
        assert discover()["dropped"].source == tmp_path / "dropped.py"

    def test_a_broken_file_in_the_folder_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "torn.py").write_text("import nonesuch_package\n")
        monkeypatch.setattr(rsir_bench.methods, "__path__", [*rsir_bench.methods.__path__, str(tmp_path)])
        importlib.invalidate_caches()
        found = discover()
        assert "baseline" in found
        assert "method file torn.py: cannot be imported" in found.broken["torn"]
        assert "nonesuch_package" in found.broken["torn"]


class TestPlugins:
    def test_works(self, tmp_path):
        path = write_plugin(tmp_path)
        found = discover([path])
        assert found["mine"].source == path
        assert "baseline" in found
        method = resolve("mine", found, {}, {}).build(tiny_setup())
        assert isinstance(method, Method)
        assert method.describe(some_scenes(4))["mean"].shape == (4, CLASSES)

    def test_a_front_end_composes_with_it(self, tmp_path):
        found = discover([write_plugin(tmp_path)])
        method = resolve("jsst+mine", found, {}, {}).build(tiny_setup())
        assert method.describe(some_scenes(4))["mean"].shape == (4, CLASSES)

    def test_several_classes_in_one_file(self, tmp_path):
        path = write_plugin(tmp_path)
        path.write_text(path.read_text() + PLUGIN.format(name="other", kind="Other"))
        assert {"mine", "other"} <= set(discover([path]))

    def test_two_files_of_one_stem(self, tmp_path):
        paths = [write_plugin(tmp_path / "a", "one"), write_plugin(tmp_path / "b", "two")]
        found = discover(paths)
        assert [found[name].source for name in ("one", "two")] == paths

    def test_named_twice_is_found_once(self, tmp_path):
        path = write_plugin(tmp_path)
        assert "mine" in discover([path, path])

    def test_methods_it_imports_stay_whose_they_are(self, tmp_path):
        (tmp_path / "user.py").write_text(
            "from rsir_bench.methods.baseline import Baseline\n" + PLUGIN.format(name="mine", kind="Mine")
        )
        assert discover([tmp_path / "user.py"])["baseline"].source.name == "baseline.py"

    def test_a_base_class_without_a_card_is_no_method(self, tmp_path):
        (tmp_path / "user.py").write_text(
            "from rsir_bench.methods.baseline import Baseline\n"
            "class Base(Baseline):\n    pass\n"
            "class Mine(Base):\n    card = Baseline.card.model_copy(update={'name': 'mine'})\n"
        )
        assert set(discover([tmp_path / "user.py"])) - set(discover()) == {"mine"}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("def (", "SyntaxError"),
            ("import nonesuch_package", "nonesuch_package"),
            ("raise ValueError('first\\nsecond')", "ValueError: first second"),
            (PLUGIN.format(name="mine", kind="Mine").replace("year=", "yaer="), "yaer"),
            (PLUGIN.format(name="Not A Name", kind="Mine"), "Not A Name"),
        ],
    )
    def test_it_cannot_be_imported(self, tmp_path, text, says):
        (tmp_path / "broken.py").write_text(text)
        shown = message(lambda: discover([tmp_path / "broken.py"]))
        assert shown.startswith(f"plugin {tmp_path / 'broken.py'}: cannot be imported")
        assert says in shown
        found = discover([tmp_path / "broken.py"], strict=False)
        assert message(lambda: find("mine", found)).endswith(f"unknown, and some files could not be read: {shown}")

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "from rsir_bench.methods.baseline import Baseline",
            PLUGIN.format(name="mine", kind="Mine").replace("def describe", "def descibe"),
            PLUGIN.format(name="mine", kind="Mine").replace("card = Card(", "crad = Card("),
            PLUGIN.format(name="mine", kind="Mine").replace("card = Card(", "card = dict("),
            "from rsir_bench.method import FrontEndCard\nfrom rsir_bench.methods.baseline import Baseline\n"
            "class Mine(Baseline):\n    card = FrontEndCard(name='mine', title='Mine', paper='none', year=2026)\n",
        ],
        ids=[
            "empty",
            "only imported",
            "a method misspelt",
            "card misspelt",
            "card of another type",
            "a front end's card",
        ],
    )
    def test_it_holds_no_method(self, tmp_path, text):
        (tmp_path / "plugin.py").write_text(text)
        assert "defines no complete subclass of Method" in message(lambda: discover([tmp_path / "plugin.py"]))

    @pytest.mark.parametrize("name", ["nowhere.py", "folder.py", "notes.txt"])
    def test_it_is_no_python_file(self, tmp_path, name):
        (tmp_path / "folder.py").mkdir()
        (tmp_path / "notes.txt").write_text(PLUGIN.format(name="mine", kind="Mine"))
        assert "no such Python file" in message(lambda: discover([tmp_path / name]))

    def test_two_files_claim_one_name(self, tmp_path):
        paths = [write_plugin(tmp_path, file="a.py"), write_plugin(tmp_path, file="b.py")]
        text = message(lambda: discover(paths))
        assert text == f"method 'mine': both {paths[0]} and {paths[1]} claim it; rename one"

    def test_two_classes_of_one_file_claim_one_name(self, tmp_path):
        path = write_plugin(tmp_path)
        path.write_text(path.read_text() + PLUGIN.format(name="mine", kind="Other"))
        assert "claim it; rename one" in message(lambda: discover([path]))

    def test_a_shipped_name_is_taken(self, tmp_path):
        path = write_plugin(tmp_path, name="baseline")
        text = message(lambda: discover([path]))
        assert "baseline.py" in text
        assert str(path) in text


class TestInstalledPackages:
    @staticmethod
    def install(site: Path, name: str, files: dict[str, str], entry_point: str) -> None:
        """What an installer leaves: modules, and a folder with metadata."""
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[rsir_bench.methods]\n{entry_point}\n")

    @pytest.mark.parametrize("entry_point", ["retrieval = their_package.methods", "x = their_package.methods:Theirs"])
    def test_found(self, tmp_path, monkeypatch, entry_point):
        files = {"their_package/methods.py": PLUGIN.format(name="theirs", kind="Theirs")}
        self.install(tmp_path, "their-package", files, entry_point)
        monkeypatch.syspath_prepend(tmp_path)
        entry = discover()["theirs"]
        assert entry.source == tmp_path / "their_package" / "methods.py"

    def test_found_where_the_package_passes_it_on(self, tmp_path, monkeypatch):
        files = {
            "passing_package/__init__.py": "from passing_package._impl import Theirs",
            "passing_package/_impl.py": PLUGIN.format(name="theirs", kind="Theirs"),
        }
        self.install(tmp_path, "passing-package", files, "theirs = passing_package:Theirs")
        monkeypatch.syspath_prepend(tmp_path)
        assert "theirs" in discover()

    def test_a_broken_package_is_named(self, tmp_path, monkeypatch):
        self.install(tmp_path, "torn-package", {"torn_package.py": "1 / 0"}, "retrieval = torn_package")
        monkeypatch.syspath_prepend(tmp_path)
        found = discover()
        problem = "entry point retrieval of torn-package: cannot be imported (ZeroDivisionError"
        assert problem in found.broken["retrieval"]
        assert resolve("baseline", found, {}, {}).name == "baseline"
        assert problem in message(lambda: resolve("retrieval", found, {}, {}))
        assert problem in message(lambda: resolve("nonesuch", found, {}, {}))

    def test_a_name_that_is_taken_stays_with_its_owner_and_is_refused(self, tmp_path, monkeypatch):
        files = {"taking_package.py": PLUGIN.format(name="baseline", kind="Theirs")}
        self.install(tmp_path, "taking-package", files, "x = taking_package")
        monkeypatch.syspath_prepend(tmp_path)
        found = discover()
        assert found["baseline"].source.name == "baseline.py"
        assert "taking_package.py" in message(lambda: resolve("baseline", found, {}, {}))
        assert resolve("se", found, {}, {}).name == "se"


class TestNames:
    def test_a_plain_method(self):
        method = named("baseline")
        assert (method.name, method.label, method.settings_dict, method.overridden) == ("baseline", "baseline", {}, {})
        assert [path.name for path in method.sources.values()] == ["baseline.py"]

    def test_a_front_end_alone_stands_before_its_usual_method(self):
        method = named("jsst")
        assert method.name == method.label == "jsst"
        assert method.card.title == "JSST"
        assert {name: row.paper for name, row in method.card.rows.items()} == {
            "FC": ("JSST", ""),
            "PCA": ("JSST", ""),
        }
        assert [path.name for path in method.sources.values()] == ["jsst.py", "baseline.py"]

    def test_a_front_end_before_a_named_method(self):
        method = named("jsst+baseline")
        assert method.name == method.label == "jsst+baseline"
        assert method.card.title == "JSST+{trunk}"
        assert {row.paper for row in method.card.rows.values()} == {None}
        assert set(method.build(tiny_setup()).describe(some_scenes())) == {"FC", "FC1"}

    def test_two_front_ends(self):
        assert set(named("jsst+jsst").build(tiny_setup()).describe(some_scenes())) == {"FC", "FC1"}

    @pytest.mark.parametrize("name", ["jsst+timm:test_resnet", "jsst+timm:test_resnet@none", "jsst+jsst+timm:test_vit"])
    def test_a_learned_front_end_needs_training(self, name):
        text = message(lambda: named(name))
        assert text == f"method '{name}': 'jsst' must be trained, but 'timm' is not trained; choose another method"

    @pytest.mark.parametrize("name", ["jsst+histeq", "jsst+histeq+baseline", "jsst+gamma+histeq+wallis+baseline"])
    def test_a_learned_front_end_needs_gradients(self, name):
        text = message(lambda: named(name))
        problem = "'jsst' must be trained, but no gradient passes through 'histeq'"
        assert text == f"method '{name}': {problem}; name 'histeq' first"

    @pytest.mark.parametrize("name", ["histeq+jsst", "jsst+wallis", "jsst+gamma", "gamma+histeq"])
    def test_front_ends_that_go_together(self, name):
        assert set(named(name).build(tiny_setup()).describe(some_scenes())) == {"FC", "FC1"}

    @pytest.mark.parametrize("name", ["baseline+jsst", "baseline+baseline", "jsst+baseline+baseline"])
    def test_only_front_ends_stand_before_a_plus(self, name):
        assert f"method '{name}': 'baseline' is not a front end" in message(lambda: named(name))

    @pytest.mark.parametrize("name", ["jst", "jsst+basline", "", "jsst+", "+baseline", "JSST"])
    def test_unknown_names(self, name):
        text = message(lambda: named(name))
        assert "unknown" in text
        assert ", ".join(discover()) in text

    def test_nearest_spelling(self):
        assert "did you mean 'jsst'?" in message(lambda: named("jst"))
        assert "did you mean 'baseline'?" in message(lambda: named("jsst+basline"))

    @pytest.mark.parametrize("name", ["timm", "timm:"])
    def test_timm_needs_a_backbone(self, name):
        assert message(lambda: named(name)) == "method 'timm': needs model; write timm:MODEL"

    @pytest.mark.parametrize("name", ["baseline:resnet50", "jsst:se"])
    def test_an_argument_that_nothing_takes(self, name):
        assert "takes no argument; omit ':" in message(lambda: named(name))


class TestSettings:
    def test_the_label_shows_changed_settings_only(self):
        assert named("jsst", jsst={"rate": 0.01, "padding": "zeros"}).label == "jsst (jsst.padding=zeros)"
        both = named("jsst+baseline", jsst={"spread": 0.01, "rate": 1})
        assert both.label == "jsst+baseline (jsst.rate=1.0, jsst.spread=0.01)"

    def test_the_protocols_own_settings_are_not_changes(self):
        protocols = {"jsst": {"rate": 0.5}}
        assert named("jsst", protocols, jsst={"rate": 0.5}).label == "jsst"
        assert named("jsst", protocols, jsst={"rate": 0.5, "spread": 1}).label == "jsst (jsst.spread=1.0)"
        assert named("jsst", protocols, jsst={"rate": 0.1}).label == "jsst (jsst.rate=0.1)"

    def test_values_are_all_and_identity_only_what_is_not_the_default(self):
        method = named("jsst", jsst={"rate": 0.5, "padding": "border"})
        defaults = discover()["jsst"].method_class.Settings().model_dump()
        assert method.settings_dict == {f"jsst.{key}": value for key, value in {**defaults, "rate": 0.5}.items()}
        assert method.non_default == {"jsst.rate": 0.5}

    def test_they_reach_the_network(self):
        method = named("jsst", jsst={"rate": 0.5}).build(tiny_setup())
        assert {group.rate for group in method.front.parameter_groups()} == {0.5}

    def test_settings_of_other_methods_do_not_matter(self):
        assert named("baseline", jsst={"rate": 0.5}).label == "baseline"

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"rte": 1}, "methods.jsst.rte: unknown; did you mean 'rate'? known: absolute_rate, bound, cells, "),
            ({"rate": "fast"}, "methods.jsst.rate: Input should be a valid number"),
            ({"padding": "mirror"}, "methods.jsst.padding: Input should be 'border' or 'zeros'"),
        ],
    )
    def test_mistakes(self, settings, says):
        assert message(lambda: named("jsst", jsst=settings)).startswith(says)

    @pytest.mark.parametrize("name", ["jsst", "jsst-tps", "timm", "dhn"])
    def test_the_card_lists_every_one(self, name):
        lines = method_card(name, []).split("\n")
        fields = discover()[name].method_class.Settings.model_fields
        assert lines[-len(fields) :] == [
            f"  {key} = {'(required)' if field.is_required() else field.default!r}" for key, field in fields.items()
        ]

    def test_a_preset_is_other_defaults_under_another_name(self):
        usual, preset = (discover()[name].method_class.Settings() for name in ("jsst", "jsst-spat-tps"))
        assert {**usual.model_dump(), "warp": "tps", "spectral": "off"} == preset.model_dump()
        method = named("jsst-spat-tps", **{"jsst-spat-tps": {"warp": "tps", "points": 4}})
        assert method.label == "jsst-spat-tps (jsst-spat-tps.points=4)"
        assert method.non_default == {"jsst-spat-tps.points": 4}

    def test_a_method_without_settings(self):
        assert message(lambda: named("baseline", baseline={"x": 1})).endswith("unknown; baseline has no settings")


class TestTimmLabels:
    def test_the_argument_is_in_the_name_and_no_change(self):
        method = named("timm:test_resnet@none")
        assert method.name == method.label == "timm:test_resnet@none"
        assert method.non_default == {"timm.model": "test_resnet", "timm.weights": "none"}

    def test_the_folder_of_the_weights_is_left_out(self):
        method = named("timm:test_resnet@/home/me/weights/w.pt")
        assert method.name == method.label == "timm:test_resnet@w.pt"
        assert method.settings.weights == "/home/me/weights/w.pt"
        assert method.requested_as == "timm:test_resnet@/home/me/weights/w.pt"

    def test_also_where_they_are_a_setting(self):
        method = named("timm:test_resnet", timm={"weights": "/home/me/weights/w.pt"})
        assert method.label == "timm:test_resnet (timm.weights=w.pt)"
        assert method.settings.weights == "/home/me/weights/w.pt"

    def test_settings_beside_the_argument(self):
        assert named("timm:test_vit", timm={"mean": [0.5]}).label == "timm:test_vit (timm.mean=[0.5])"
        assert named("timm", timm={"model": "test_vit"}).label == "timm (timm.model=test_vit)"

    def test_the_argument_wins_over_a_setting(self):
        method = named("timm:test_vit", timm={"model": "test_resnet"})
        assert method.settings.model == "test_vit"
        assert method.label == "timm:test_vit"
