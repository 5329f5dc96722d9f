from __future__ import annotations

import tomllib
from typing import Any

import pytest
from tiny import message

from rsir_bench import protocol as protocols
from rsir_bench.protocol import Protocol, board_name, load_protocol, shipped
from rsir_bench.protocol.load import is_shipped, parse_value

# One other value for every setting, valid in patternnet without milestones, on its own or with what BESIDE names.
OTHER: dict[str, dict[str, Any]] = {
    "data": {
        "source": "aid",
        "targets": ["eurosat"],
        "unlabelled": "nwpu",
        "size": 96,
        "resize": "bicubic",
        "bands": "all",
        "leaked": "drop",
        "antialias": False,
    },
    "trunk": {
        "name": "resnet50",
        "title": "another title",
        "weights": "none",
        "sha256": "0" * 64,
        "arguments": {"drop_path_rate": 0.1},
        "frozen": ["conv1"],
        "mean": [0.5],
        "std": [0.2],
    },
    "head": {"fc1": 512},
    "train": {
        "epochs": 7,
        "batch": 32,
        "optimizer": "adam",
        "rate": 0.5,
        "momentum": 0.5,
        "nesterov": True,
        "weight_decay": 0.0,
        "schedule": "one-cycle",
        "milestones": [5],
        "decay": 0.5,
        "warmup": 0.1,
        "flip": True,
        "distort": 0.5,
        "precision": "bf16",
    },
    "describe": {"precision": "bf16", "pca": 64, "pca_fit": ["source", "target"]},
    "score": {"similarity": "cosine", "queries": "fifth", "query_seed": 1},
}
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("train", "warmup"): {"schedule": "one-cycle"},
    ("score", "query_seed"): {"queries": "fifth"},
}
SETTINGS = [(section, key) for section, keys in OTHER.items() for key in keys]
WITH_DEFAULT = [
    (section, key)
    for section, key in SETTINGS
    if not getattr(protocols, section.title()).model_fields[key].is_required()
]
MARKS_A_TRAINING = {("data", "source"), ("data", "size")}
CHANGE_NO_RESULT = {("data", "targets"), ("trunk", "title")}


def as_table(name: str = "patternnet") -> dict[str, Any]:
    """The shipped file of a protocol, without milestones."""
    table = tomllib.loads(shipped()[name].read_text(encoding="utf-8"))
    table["train"].pop("milestones", None)
    return table


class TestShipped:
    def test_names(self):
        assert set(shipped()) == {"patternnet", "ucm", "aid", "aid-lite", "ucm-lite", "ucm-mobile", "demo", "frozen"}

    @pytest.mark.parametrize(
        "name", ["patternnet", "ucm", "aid", "aid-lite", "ucm-lite", "ucm-mobile", "demo", "frozen"]
    )
    def test_loads_under_its_own_name(self, name):
        protocol = load_protocol(name)
        assert protocol.name == name
        assert is_shipped(protocol)
        assert board_name(protocol) == name
        assert protocol.data.source not in protocol.data.targets

    def test_only_the_papers_protocols_are_comparable_with_it(self):
        assert {name for name in shipped() if load_protocol(name).paper} == {"patternnet", "ucm"}

    def test_every_protocol_but_the_papers_states_its_precision(self):
        files = {name: tomllib.loads(path.read_text()) for name, path in shipped().items()}
        stated = {name: file["train"].get("precision") for name, file in files.items() if "train" in file}
        assert stated == {
            "aid": "bf16",
            "aid-lite": "32",
            "demo": "32",
            "patternnet": None,
            "ucm": None,
            "ucm-lite": "32",
            "ucm-mobile": "auto",  # its published results were made with it
        }

    def test_hashes_differ(self):
        assert len({load_protocol(name).hash for name in shipped()}) == len(shipped())

    @pytest.mark.parametrize("name", ["patternnet", "ucm"])
    def test_the_papers_schedule(self, name):
        protocol = load_protocol(name)
        train = protocol.train
        assert (train.epochs, train.batch, train.rate, train.decay) == (40, 64, 1e-3, 0.1)
        assert train.milestones == [16, 31]
        assert protocol.trunk.frozen == ["conv1", "bn1", "layer1"]
        assert (protocol.head.fc1, protocol.describe.pca, protocol.data.size) == (4096, 128, 224)
        assert protocol.score.similarity == "pearson"

    def test_the_papers_datasets(self):
        patternnet, ucm = load_protocol("patternnet").data, load_protocol("ucm").data
        assert (patternnet.source, patternnet.targets) == ("patternnet", ["rs19", "ucm", "rsscn7", "aid", "nwpu"])
        assert (ucm.source, ucm.unlabelled, ucm.targets) == ("ucm", "patternnet", ["rs19", "rsscn7"])


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "section", "key", "value"),
        [
            ("train.epochs=5", "train", "epochs", 5),
            ("train.rate=5e-3", "train", "rate", 0.005),
            ("train.rate=.5", "train", "rate", 0.5),
            ("train.flip=false", "train", "flip", False),
            ("train.nesterov = true", "train", "nesterov", True),
            ("trunk.frozen=['conv1', 'bn1']", "trunk", "frozen", ["conv1", "bn1"]),
            ("trunk.frozen=[]", "trunk", "frozen", []),
            ("trunk.mean=[0.1, 0.2, 0.3]", "trunk", "mean", [0.1, 0.2, 0.3]),
            ("trunk.mean=none", "trunk", "mean", None),
            ("trunk.name=test_resnet.r160_in1k", "trunk", "name", "test_resnet.r160_in1k"),
            ('trunk.name="test_resnet"', "trunk", "name", "test_resnet"),
            ("trunk.weights=none", "trunk", "weights", "none"),
            ("trunk.weights=None", "trunk", "weights", "none"),
            ("trunk.weights=../weights/a=b.pt", "trunk", "weights", "../weights/a=b.pt"),
            ("trunk.sha256=none", "trunk", "sha256", None),
            ("data.unlabelled=aid", "data", "unlabelled", "aid"),
            ("data.unlabelled=none", "data", "unlabelled", None),
            ("score.similarity=inner product", "score", "similarity", "inner product"),
            ("train.precision=32", "train", "precision", "32"),
            ("train.precision=bf16", "train", "precision", "bf16"),
            ("trunk.arguments.a=b", "trunk", "arguments", {"channels": [16, 32, 64, 128], "a": "b"}),
            ("trunk.arguments={drop_rate = 0.5}", "trunk", "arguments", {"drop_rate": 0.5}),
        ],
    )
    def test_values(self, override, section, key, value):
        changed = getattr(getattr(load_protocol("demo", [override]), section), key)
        assert changed == value
        assert type(changed) is type(value)

    def test_nested_tables_keep_their_other_keys(self):
        protocol = load_protocol("ucm-mobile", ["trunk.arguments.drop_rate=0.5"])
        assert protocol.trunk.arguments == {"pad_type": "same", "drop_rate": 0.5}

    def test_later_overrides_win(self):
        assert load_protocol("demo", ["train.epochs=5", "train.epochs=6"]).train.epochs == 6

    def test_settings_of_methods(self):
        protocol = load_protocol("demo", ["methods.jsst.rate=0.5", "methods.timm.weights=none"])
        assert protocol.methods == {
            "jsst": {"rate": 0.5},
            "sk": {"zero_init_last": True},  # the file's own
            "timm": {"weights": "none"},
        }

    def test_several_make_one_valid_change(self):
        train = load_protocol("patternnet", ["train.schedule=one-cycle", "train.milestones=[]"]).train
        assert (train.schedule, train.milestones) == ("one-cycle", [])

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1", 1), ("1.0", 1.0), ("true", True), ("True", "True"), ("none", None), ("a b", "a b"), ("", "")],
    )
    def test_parse_value(self, text, value):
        assert parse_value(text) == value
        assert type(parse_value(text)) is type(value)


class TestMistakes:
    @pytest.mark.parametrize(
        ("override", "parts"),
        [
            ("train.epocs=5", ["train.epocs", "did you mean 'epochs'", "weight_decay"]),
            ("trian.epochs=5", ["trian", "did you mean 'train'"]),
            ("trunk.wieghts=none", ["trunk.wieghts", "did you mean 'weights'"]),
            ("train.epochs=0", ["train.epochs", "greater than or equal to 1", "got 0"]),
            ("train.epochs=many", ["train.epochs", "integer", "'many'"]),
            ("train.optimizer=lion", ["train.optimizer", "'sgd' or 'adam'", "'lion'"]),
            ("train.rate=0", ["train.rate", "greater than 0"]),
            ("train.weight_decay=inf", ["train.weight_decay", "finite number", "got inf"]),
            ("trunk.mean=[nan, 0.5, 0.5]", ["trunk.mean", "finite number", "got nan"]),
            ("data.size=8", ["data.size", "16"]),
            ("data.targets=[]", ["data.targets", "at least 1"]),
            ("data.targets=ucm", ["data.targets", "list", "'ucm'"]),
            ("trunk.frozen=[conv1]", ["trunk.frozen", "list"]),
            ("score.similarity=manhattan", ["score.similarity", "'pearson'", "'manhattan'"]),
            ("methods.jsst=5", ["methods.jsst", "got 5"]),
            ("train.epochs", ["--set train.epochs", "section.key=value"]),
            ("epochs=5", ["--set epochs=5", "section.key=value"]),
            ("=5", ["--set =5", "section.key=value"]),
            ("name.x=1", ["--set name.x=1", "'name' is a setting, not a section"]),
            ("train.epochs.x=1", ["--set train.epochs.x=1", "'epochs' is a setting, not a section"]),
        ],
    )
    def test_one_line_names_the_setting_and_what_fits(self, override, parts):
        text = message(lambda: load_protocol("demo", [override]))
        assert [part for part in parts if part not in text] == []

    def test_unknown_protocol(self):
        text = message(lambda: load_protocol("patternet"))
        assert "did you mean 'patternnet'?" in text
        assert "aid, aid-lite, demo, frozen, patternnet, ucm, ucm-lite, ucm-mobile" in text

    def test_missing_file(self, tmp_path):
        assert "mine.toml: no such file; known: aid, aid-lite" in message(
            lambda: load_protocol(str(tmp_path / "mine.toml"))
        )

    @pytest.mark.parametrize("content", [b"name = ", b"\xff\xff", b"[data]\n[data]\n"])
    def test_a_file_that_is_no_toml(self, tmp_path, content):
        (tmp_path / "mine.toml").write_bytes(content)
        text = message(lambda: load_protocol(str(tmp_path / "mine.toml")))
        assert "mine.toml: cannot be read" in text

    def test_a_missing_table_is_named_without_a_dump_of_the_others(self, tmp_path):
        data = '[data]\nsource = "a"\ntargets = ["b"]\nsize = 96\n'
        (tmp_path / "mine.toml").write_text(f'name = "mine"\ntitle = "Mine"\n{data}')
        text = message(lambda: load_protocol(str(tmp_path / "mine.toml")))
        assert text.endswith("mine.toml: trunk is missing; a protocol with data.source needs it")

    @pytest.mark.parametrize("name", ["Upper", "with space", "", "-dash", "a/b"])
    def test_names_are_file_names(self, name):
        with pytest.raises(ValueError, match="name"):
            Protocol.model_validate(as_table() | {"name": name})

    @pytest.mark.parametrize("milestones", [[1], [0], [41], [31, 16], [16, 16], [16, 31, 50]])
    def test_milestones_rise_within_the_training(self, milestones):
        text = message(lambda: load_protocol("patternnet", [f"train.milestones={milestones}"]))
        assert text == "protocol patternnet: train: milestones must rise within 2..40"

    @pytest.mark.parametrize("milestones", [[], [2], [40], [2, 3, 40]])
    def test_milestones_that_fit(self, milestones):
        train = load_protocol("patternnet", [f"train.milestones={milestones}"]).train
        assert train.milestones == milestones

    def test_a_shorter_training_needs_other_milestones(self):
        assert "2..5" in message(lambda: load_protocol("patternnet", ["train.epochs=5"]))

    @pytest.mark.parametrize(
        ("name", "overrides", "needed", "usual"),
        [
            ("demo", ["train.milestones=[2]"], "schedule = 'steps'", "[]"),
            ("demo", ["train.decay=0.5"], "schedule = 'steps'", "0.1"),
            ("patternnet", ["train.warmup=0.1"], "schedule = 'one-cycle'", "0.3"),
            ("demo", ["train.momentum=0.5", "train.optimizer=adam"], "optimizer = 'sgd'", "0.9"),
            ("demo", ["train.nesterov=true", "train.optimizer=adam"], "optimizer = 'sgd'", "False"),
            ("demo", ["score.query_seed=1"], "queries = 'fifth'", "0"),
        ],
    )
    def test_a_setting_that_would_change_nothing_is_refused(self, name, overrides, needed, usual):
        section, key = overrides[0].partition("=")[0].split(".")
        said = f"protocol {name}: {section}: {key} has no effect without {needed}; leave it at {usual}"
        assert message(lambda: load_protocol(name, overrides)) == said

    def test_one_that_is_put_back_to_its_default_is_none(self):
        overrides = ["train.momentum=0.5", "train.optimizer=adam", "train.momentum=0.9"]
        assert load_protocol("demo", overrides).train.optimizer == "adam"

    def test_nesterov_needs_momentum(self):
        text = message(lambda: load_protocol("demo", ["train.nesterov=true", "train.momentum=0"]))
        assert "momentum" in text

    @pytest.mark.parametrize("resize", ["lanczos", "nearest"])
    def test_antialias_is_a_choice_only_where_it_changes_pixels(self, resize):
        text = message(lambda: load_protocol("demo", ["data.antialias=false", f"data.resize={resize}"]))
        assert f"antialias = false requires bilinear or bicubic, not {resize}" in text


class TestHash:
    def test_the_table_of_other_values_is_complete(self):
        for section, keys in OTHER.items():
            assert set(keys) == set(type(getattr(load_protocol("demo"), section)).model_fields)
        assert set(OTHER) == set(Protocol.model_fields) - {"name", "title", "paper", "methods"}

    @pytest.mark.parametrize(("section", "key"), SETTINGS)
    def test_every_setting_that_changes_results_changes_it(self, section, key):
        table = as_table()
        table[section] = table.get(section, {}) | BESIDE.get((section, key), {})
        before = Protocol.model_validate(table)
        table[section] |= {key: OTHER[section][key]}
        after = Protocol.model_validate(table)
        assert getattr(getattr(after, section), key) != getattr(getattr(before, section), key)
        assert (after.hash == before.hash) == ((section, key) in CHANGE_NO_RESULT)

    @pytest.mark.parametrize(
        "change", [{"name": "mine"}, {"title": "Mine"}, {"paper": False}, {"methods": {"jsst": {"rate": 1}}}]
    )
    def test_texts_and_settings_of_methods_do_not(self, change):
        assert Protocol.model_validate(as_table() | change).hash == Protocol.model_validate(as_table()).hash

    @pytest.mark.parametrize(("section", "key"), [each for each in WITH_DEFAULT if each not in MARKS_A_TRAINING])
    def test_a_default_written_out_does_not(self, section, key):
        table = as_table()
        table.get(section, {}).pop(key, None)
        before = Protocol.model_validate(table)
        default = getattr(getattr(before, section), key)
        table[section] = table.get(section, {}) | {key: default}
        assert Protocol.model_validate(table).hash == before.hash

    @pytest.mark.parametrize("overrides", [[], ["train.optimizer=adam"], ["score.queries=fifth", "score.query_seed=3"]])
    def test_all_defaults_written_out_do_not(self, overrides):
        for name in shipped() if not any(change.startswith("train") for change in overrides) else ["demo", "ucm"]:
            protocol = load_protocol(name, overrides)
            assert Protocol.model_validate(protocol.model_dump()).hash == protocol.hash

    def test_the_order_of_keys_does_not(self):
        table = as_table()
        turned = {key: dict(reversed(v.items())) if isinstance(v, dict) else v for key, v in reversed(table.items())}
        assert Protocol.model_validate(turned).hash == Protocol.model_validate(table).hash

    def test_twelve_hex_digits(self):
        assert len(load_protocol("demo").hash) == 12
        int(load_protocol("demo").hash, 16)

    def test_settings_show_defaults_and_identity_does_not(self):
        protocol = load_protocol("demo")
        assert protocol.settings()["head"] == {"fc1": 4096}
        assert protocol.settings()["describe"]["pca"] == 128
        assert "head" not in protocol.identity()
        assert not {"name", "title", "paper", "methods"} & set(protocol.settings())
        assert "targets" not in protocol.settings()["data"]


class TestBoard:
    def test_an_override_moves_to_a_board_with_its_hash(self):
        protocol = load_protocol("patternnet", ["head.fc1=512"])
        assert not is_shipped(protocol)
        assert board_name(protocol) == f"patternnet~{protocol.hash[:8]}"

    @pytest.mark.parametrize(
        "override", ["data.targets=['ucm']", "trunk.title=ResNet", "head.fc1=4096", "methods.jsst.rate=1"]
    )
    def test_what_changes_no_result_stays(self, override):
        assert board_name(load_protocol("patternnet", [override])) == "patternnet"

    def test_a_file_of_the_user_under_its_own_name(self, tmp_path):
        text = shipped()["demo"].read_text(encoding="utf-8").replace('name = "demo"', 'name = "mine"')
        (tmp_path / "mine.toml").write_text(text)
        protocol = load_protocol(str(tmp_path / "mine.toml"))
        assert board_name(protocol) == f"mine~{load_protocol('demo').hash[:8]}"

    def test_a_file_of_the_user_under_a_shipped_name_with_other_settings(self, tmp_path):
        text = shipped()["patternnet"].read_text(encoding="utf-8").replace("epochs = 40", "epochs = 31")
        (tmp_path / "patternnet.toml").write_text(text)
        assert board_name(load_protocol(str(tmp_path / "patternnet.toml"))).startswith("patternnet~")

    def test_a_file_of_the_user_cannot_call_itself_the_papers(self, tmp_path):
        text = shipped()["demo"].read_text(encoding="utf-8").replace("[data]", "paper = true\n\n[data]", 1)
        (tmp_path / "demo.toml").write_text(text)
        protocol = load_protocol(str(tmp_path / "demo.toml"))
        assert protocol.paper
        assert not is_shipped(protocol)


class TestWithoutASource:
    """A protocol that trains nothing: encoders are scored as they come."""

    def test_frozen_trains_nothing_and_has_no_size_of_its_own(self):
        protocol = load_protocol("frozen")
        assert not protocol.trains
        assert (protocol.data.size, protocol.trunk, protocol.train) == (None, None, None)
        assert protocol.precision == "32"
        assert protocol.data.targets == ["rs19", "ucm", "rsscn7", "aid", "nwpu", "patternnet"]
        assert {"trunk", "train"}.isdisjoint(protocol.settings())

    @pytest.mark.parametrize(
        ("override", "named"),
        [
            ("data.size=224", "data.size"),
            ("data.resize=bicubic", "data.resize"),
            ("data.bands=all", "data.bands"),
            ("data.leaked=drop", "data.leaked"),
            ("data.unlabelled=aid", "data.unlabelled"),
            ("trunk.name=resnet18", "trunk"),
            ("head.fc1=8", "head.fc1"),
            ("describe.pca=3", "describe.pca"),
        ],
    )
    def test_settings_of_training_and_input_change_nothing_there(self, override, named):
        text = message(lambda: load_protocol("frozen", [override]))
        assert text.startswith(f"protocol frozen: {named} has no effect: without data.source nothing is trained")
        assert text.endswith("(timm:NAME:size=224 sets it for one encoder)")

    def test_other_queries_or_another_similarity_are_another_board(self):
        boards = [board_name(load_protocol("frozen", [f"score.queries={word}"])) for word in ("all", "fifth")]
        assert boards[0] == "frozen" != boards[1]

    def test_a_source_alone_is_no_training(self):
        text = message(lambda: load_protocol("frozen", ["data.source=aid"]))
        assert text == "protocol frozen: data.size is missing; a protocol with data.source needs it"
