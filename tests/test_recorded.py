"""From records back to runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tifffile
from conftest import Tiny
from PIL import Image

from rsir_bench.protocol import shipped
from rsir_bench.runs.locate import locate
from rsir_bench.runs.request import UserFiles
from rsir_bench.runs.runners.campaign import campaign


def test_records_lead_to_their_descriptors_and_scenes(tiny: Tiny) -> None:
    records = campaign(tiny.request(distortions=["haze:3"]), lambda line: None).records
    found = locate(records, tiny.folder / "runs", UserFiles(tiny.folder, protocol=str(tiny.protocol)))
    assert set(found) == {record.key for record in records}
    for record in records:
        there = found[record.key]
        descriptors = np.load(there.cell.descriptors)
        assert descriptors.shape == (record.target.scenes, record.row.dimensions)
        assert str(there.cell.distortion or "") == ("haze:3" if record.distortion else "")
        assert len(there.plan.datasets[there.cell.target]) == len(descriptors)


def test_the_users_protocol_is_known_by_its_name_and_not_by_its_file(tiny: Tiny) -> None:
    records = campaign(tiny.request(), lambda line: None).records
    moved = tiny.protocol.rename(tiny.folder / "other.toml")
    files = UserFiles(tiny.folder, protocol=str(moved))
    assert set(locate(records, tiny.folder / "runs", files)) == {record.key for record in records}


def test_a_changed_copy_of_a_shipped_protocol_hides_no_records_of_it(tiny: Tiny) -> None:
    """Both are called demo, and each has records."""
    changed = tiny.folder / "changed.toml"
    changed.write_text(shipped()["demo"].read_text().replace("epochs = 8", "epochs = 7"))
    keys: set[str] = set()
    for protocol in ("demo", str(changed)):
        request = tiny.request("timm:test_resnet@none", protocol=protocol, targets=[tiny.target])
        records = campaign(request, lambda line: None).records
        assert {record.protocol.name for record in records} == {"demo"}
        assert not keys & {record.key for record in records}
        keys |= {record.key for record in records}
        found = locate(records, tiny.folder / "runs", UserFiles(tiny.folder, protocol=str(changed)))
        assert set(found) == {record.key for record in records}


def test_records_that_the_protocol_would_not_give_now_are_left_out(tiny: Tiny) -> None:
    records = campaign(tiny.request(), lambda line: None).records
    assert locate(records, tiny.folder / "runs", UserFiles(tiny.folder)) == {}  # the protocol is the user's own
    tiny.protocol.write_text(tiny.protocol.read_text().replace("epochs = 2", "epochs = 3"))
    assert locate(records, tiny.folder / "runs", UserFiles(tiny.folder, protocol=str(tiny.protocol))) == {}


def test_scenes_that_a_card_says_how_to_read_are_found_with_the_card(tiny: Tiny) -> None:
    for path in [*(tiny.folder / "source").rglob("*.png"), *(tiny.folder / "target").rglob("*.png")]:
        values = np.asarray(Image.open(path)).astype(np.uint16) * 16
        tifffile.imwrite(path.with_suffix(".tif"), values, photometric="rgb")
        path.unlink()
    card = tiny.folder / "range.toml"
    card.write_text("value_range = [0, 4095]\n")
    records = campaign(tiny.request(cards=[card]), lambda line: None).records
    without = UserFiles(tiny.folder, protocol=str(tiny.protocol))
    assert locate(records, tiny.folder / "runs", without) == {}
    found = locate(records, tiny.folder / "runs", replace(without, cards=[card]))
    assert set(found) == {record.key for record in records}
