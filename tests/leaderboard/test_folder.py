import random

import pytest
from factory import JSST, modified, protocol_part, record, scores
from typer.testing import CliRunner

from rsir_bench.base.errors import UserError
from rsir_bench.base.files import file_digest
from rsir_bench.base.output_folder import text_digest
from rsir_bench.cli.app import app
from rsir_bench.leaderboard import check, render_leaderboards
from rsir_bench.records.store import write_record

FORMATS = ("csv", "html", "md", "tex")


def some_records():
    parts = [protocol_part(), protocol_part("aid-lite"), modified("aid-lite", "train.epochs=2")]
    return [
        record(label, protocol=part, target=target, seed=seed, metrics=scores(0.7 + seed / 9), paper=JSST)
        for part in parts
        for label in ("jsst", "jsst (padding=zeros)")
        for target in ("ucm", "aid", "demo-view")
        for seed in range(3)
    ]


def files(folder):
    """The files by name, without the folder's own list of them."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".rsir-bench" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("wanted", [("md",), FORMATS])
def test_each_board_has_a_folder_with_its_tables_in_the_named_formats(tmp_path, wanted):
    records = some_records()
    paths = render_leaderboards(records, tmp_path, wanted)
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    folders = {"patternnet", "aid-lite", modified("aid-lite", "train.epochs=2").board}
    expected = [f"{f}/leaderboard.{suffix}" for f in folders for suffix in wanted]
    numbers = ("I", "II", "III", "IV", "V", "VI", "VII")
    expected += [f"patternnet/table_{number}.{suffix}" for number in numbers for suffix in wanted]
    assert names == sorted(expected)
    assert files(tmp_path).keys() == set(names)


def test_the_bytes_depend_on_the_records_alone(tmp_path):
    records = some_records()
    render_leaderboards(records, tmp_path / "first", FORMATS)
    for seed in range(3):
        shuffled = random.Random(seed).sample(records, len(records))
        render_leaderboards(shuffled, tmp_path / "again", FORMATS)
        assert files(tmp_path / "first") == files(tmp_path / "again")


def test_neither_time_nor_machine_nor_cost_shows_but_in_the_table_of_costs(tmp_path):
    later = {"created": "2030-05-05T05:05:05Z", "cost": {"parameters": 7.0}, "environment": {"device": "cuda"}}
    records = some_records()
    render_leaderboards(records, tmp_path / "first", FORMATS)
    render_leaderboards([record.model_copy(update=later) for record in records], tmp_path / "later", FORMATS)
    rendered = files(tmp_path / "later")
    for name in [name for name in rendered if "costs" in name]:
        assert b"2030" not in rendered.pop(name)
    assert files(tmp_path / "first") == rendered


def test_what_was_rendered_passes_the_check(tmp_path):
    records = some_records()
    render_leaderboards(records, tmp_path)
    assert check(list(reversed(records)), tmp_path) == []


def test_the_check_finds_a_byte_a_missing_and_a_stale_table(tmp_path):
    records = some_records()
    render_leaderboards(records, tmp_path, FORMATS)
    names = ("leaderboard.md", "leaderboard.csv", "variants.tex")
    edited, missing, stale = (tmp_path / "aid-lite" / name for name in names)
    edited.write_bytes(edited.read_bytes() + b" ")
    missing.unlink()
    stale.write_text("left over")
    assert check(records, tmp_path, FORMATS) == [missing, edited, stale]


def test_the_check_ignores_the_padding_of_another_tabulate(tmp_path):
    listing = tmp_path / ".rsir-bench" / "leaderboard.sha256"
    paths = render_leaderboards(some_records(), tmp_path)
    for path in paths:
        text, before = path.read_text(), file_digest(path)
        path.write_text(text.replace(" |", "   |").replace("---", "-----"))
        assert path.read_text() != text
        listing.write_text(listing.read_text().replace(before, file_digest(path)))
    assert check(some_records(), tmp_path) == []
    edited = paths[0].read_text().replace("   |", " x |")
    listing.write_text(listing.read_text().replace(file_digest(paths[0]), text_digest(edited)))
    paths[0].write_text(edited)
    assert check(some_records(), tmp_path) == paths[:1]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(UserError, match="--format pdf: unknown; choose from md, csv, tex, html"):
        render_leaderboards([record()], tmp_path, ["md", "pdf"])


def test_the_check_finds_a_list_that_would_stop_the_next_rendering(tmp_path):
    records = some_records()
    render_leaderboards(records, tmp_path)
    written = tmp_path / ".rsir-bench" / "leaderboard.sha256"
    written.write_text("".join(written.read_text().splitlines(keepends=True)[1:]))
    assert check(records, tmp_path) == [written]


def test_the_check_writes_nothing(tmp_path):
    assert len(check([record(protocol=protocol_part("demo"))], tmp_path / "nowhere", FORMATS)) == len(FORMATS)
    assert not (tmp_path / "nowhere").exists()


def test_another_value_fails_the_check(tmp_path):
    render_leaderboards([record()], tmp_path, FORMATS)
    names = [path.name for path in check([record(metrics=scores(0.9001))], tmp_path, FORMATS)]
    assert names == ["leaderboard.csv", *(f"table_I.{suffix}" for suffix in FORMATS)]  # others print three digits
    names = [path.name for path in check([record(metrics=scores(0.91))], tmp_path, FORMATS)]
    assert names == [f"{name}.{suffix}" for name in ("leaderboard", "table_I") for suffix in FORMATS]


def test_rendering_removes_tables_without_records_and_nothing_else(tmp_path):
    records = some_records()
    render_leaderboards(records, tmp_path)
    kept = [tmp_path / "paper" / "paper_tables.csv", tmp_path / "aid-lite" / "notes.md"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
    render_leaderboards([r for r in records if r.protocol.name == "patternnet"], tmp_path)
    left = files(tmp_path).keys()
    assert {name.split("/")[0] for name in left if (tmp_path / name) not in kept} == {"patternnet"}
    assert all(path.is_file() for path in kept)


def test_files_that_were_not_rendered_are_left_alone_and_removed_ones_are_told(tmp_path):
    records, removed = some_records(), []
    render_leaderboards(records, tmp_path, log=removed.append)
    assert removed == []
    own = [tmp_path / "sections" / f"table_results.{suffix}" for suffix in FORMATS]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("of somebody else")
    before = {tmp_path / name for name in files(tmp_path)}
    kept = render_leaderboards([r for r in records if r.protocol.name == "patternnet"], tmp_path, log=removed.append)
    assert all(path.read_text() == "of somebody else" for path in own)
    assert set(removed) == before - set(kept) - set(own) != set()


def test_refused_records_leave_the_folder_untouched(tmp_path):
    render_leaderboards([record()], tmp_path)
    before = files(tmp_path)
    with pytest.raises(UserError, match="different versions"):
        render_leaderboards([record(), record("mine", metric_version=2)], tmp_path)
    assert files(tmp_path) == before


def test_the_command_writes_the_named_formats_and_only_markdown_without_a_folder(tmp_path):
    write_record(tmp_path / "runs" / "results" / "r.json", record(protocol=protocol_part("demo")))
    words = ["leaderboard", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--format", "csv,html"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert files(tmp_path / "out").keys() == {"demo/leaderboard.csv", "demo/leaderboard.html"}
    assert CliRunner().invoke(app, [*words, "--check"]).exit_code == 0
    refused = CliRunner().invoke(app, ["leaderboard", "--format", "csv"])
    assert "in Markdown only; name another folder with --out" in str(refused.exception)
