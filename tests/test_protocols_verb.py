"""``rsir-bench protocols``, and protocols that extend others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import InProcess

from rsir_bench.base.errors import UserError
from rsir_bench.protocol import Protocol, board_name, describe_protocol, load_protocol, shipped


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_protocol_that_is_written_down_is_read_back(name: str, tmp_path: Path) -> None:
    protocol, path = load_protocol(name), tmp_path / "copy.toml"
    path.write_text(describe_protocol(protocol))
    copy = load_protocol(str(path))
    assert copy == protocol.model_copy(update={"paper": False})
    assert copy.hash == protocol.hash


def test_every_setting_is_explained() -> None:
    text = describe_protocol(load_protocol("demo"))
    lines = text.partition("[methods]")[0].splitlines()  # theirs are explained on their cards
    settings = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("# '")]
    assert len(settings) > 30
    assert [lines[number] for number in settings if not lines[number - 1].startswith("# ")] == []
    assert "One of 'steps', 'one-cycle'." in text
    sections = [name for name, field in Protocol.model_fields.items() if hasattr(field.annotation, "model_fields")]
    assert all(f"[{name}]" in text for name in sections)


def test_the_list_names_every_shipped_protocol(cli: InProcess) -> None:
    rows = {row["protocol"]: row for row in json.loads(cli("protocols", "--json").out)}
    assert list(rows) == sorted(shipped())
    assert rows["ucm-mobile"] | {"title": ""} == {
        "protocol": "ucm-mobile",
        "source": "ucm",
        "targets": "rsscn7, aid",
        "trunk": "MobileNetV2",
        "weights": "mobilenetv2_100_imagenet.safetensors",
        "pixels": 128,
        "epochs": 6,
        "title": "",
    }
    assert "demo-source" in cli("protocols").out


def test_a_new_protocol_is_a_copy_that_can_be_changed(cli: InProcess) -> None:
    made = cli("protocols", "new", "mine", "--from", "ucm")
    assert (made.code, made.out.partition(":")[0]) == (0, "mine.toml")
    mine = load_protocol("mine.toml")
    assert mine.hash == load_protocol("ucm").hash
    assert (mine.name, mine.paper, board_name(mine)) == ("mine", False, f"mine~{mine.hash[:8]}")
    assert cli("protocols", "show", "mine.toml").out == Path("mine.toml").read_text()
    again = cli("protocols", "new", "mine")
    assert (again.code, again.err) == (
        2,
        "rsir-bench: mine.toml: already exists; choose another name, or move the file\n",
    )
    assert "'demo': a shipped protocol" in cli("protocols", "new", "demo").err
    assert "'My One': not a protocol's name" in cli("protocols", "new", "My One").err


def test_a_protocol_extends_another_section_by_section(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('extends = "ucm"\nname = "short"\n[train]\nepochs = 50\n[methods.jsst]\nwarp = "tps"\n')
    parent, child = load_protocol("ucm"), load_protocol(str(path))
    assert (child.name, child.title, child.train.epochs) == ("short", parent.title, 50)
    assert child.train.rate == parent.train.rate
    assert child.methods["jsst"] == parent.methods["jsst"] | {"warp": "tps"}
    assert (parent.paper, child.paper) == (True, False)
    shorter = tmp_path / "sub" / "shorter.toml"
    shorter.parent.mkdir()
    shorter.write_text('extends = "../short.toml"\n[train]\nepochs = 17\nmilestones = [16]\n')
    assert load_protocol(str(shorter), ["train.epochs=18"]).train.epochs == 18
    assert load_protocol(str(shorter)).data == parent.data


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('extends = "dmo"', "a.toml, extends 'dmo': unknown; did you mean 'demo'?"),
        ('extends = "a.toml"', "a.toml: extends itself"),
        ('extends = "b.toml"', "a.toml: extends itself"),
        ("extends = 3", "extends = 3: write a protocol's name, or a file, in quotes"),
        ('extends = "gone.toml"', "gone.toml: no such file"),
        ('extends = "demo"\ntrain.epoch = 3', "train.epoch: unknown; did you mean 'epochs'?"),
    ],
)
def test_what_cannot_be_extended_is_one_line(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"{line}\n")
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n')
    with pytest.raises(UserError) as raised:
        load_protocol(str(tmp_path / "a.toml"))
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
