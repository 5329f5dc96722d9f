"""Synthetic scenes are repeatable and differ from one another, and their recorded distortions are the true ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rsir_bench.datasets.synthetic import (
    AFFINE_COLUMNS,
    GAIN_COLUMNS,
    OFFSET_COLUMN,
    distort,
    draw_affine,
    draw_scene,
    draw_spectral,
    read_distortions,
    scene_generators,
    write_dataset,
)
from rsir_bench.datasets.synthetic_canvas import MARGIN, Canvas, border_pixels
from rsir_bench.datasets.synthetic_scenes import CLASSES
from rsir_bench.scenes.card import load_cards

PIXELS = 64
PER_CLASS = 2
MEANS = [0.42097, 0.429, 0.42758, 0.39592, 0.31148, 0.40982, 0.42001, 0.51408, 0.40274, 0.38902, 0.31766, 0.39902]


def scenes_of(folder: Path) -> dict[str, np.ndarray]:
    """All scenes of a dataset as uint8, by their path in it."""
    return {
        file.relative_to(folder).as_posix(): np.asarray(Image.open(file)) for file in sorted(folder.glob("*/*.png"))
    }


def sampled(scene: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A scene (H, W, 3) as torch samples it through an affine map, and where that is not padding."""
    theta = torch.tensor(affine, dtype=torch.float64)[None]
    grid = torch.nn.functional.affine_grid(theta, [1, 3, *scene.shape[:2]], align_corners=False)
    image = torch.tensor(scene).permute(2, 0, 1)[None].double()
    values = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    inside = grid[0].abs().amax(-1) <= 1 - 1 / scene.shape[0]
    return values[0].permute(1, 2, 0).numpy(), inside.numpy()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same scenes undistorted, with each distortion, and with both."""
    root = tmp_path_factory.mktemp("synthetic")
    kinds = {"straight": (False, False), "view": (True, False), "spectral": (False, True), "both": (True, True)}
    for name, (view, spectral) in kinds.items():
        write_dataset(root / name, scenes_per_class=PER_CLASS, pixels=PIXELS, seed=5, view=view, spectral=spectral)
    return {name: root / name for name in kinds}


def test_dataset_has_all_classes_and_one_row_per_scene(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        scenes = scenes_of(folder)
        assert list(scenes) == [f"{name}/{name}_{i:03d}.png" for name in sorted(CLASSES) for i in range(PER_CLASS)]
        assert {scene.shape for scene in scenes.values()} == {(PIXELS, PIXELS, 3)}
        assert sorted(read_distortions(folder).index) == list(scenes)


def test_undistorted_dataset_records_the_identity(folders: dict[str, Path]) -> None:
    identity = [1, 0, 0, 0, 1, 0, 1, 1, 1, 0]
    columns = [*AFFINE_COLUMNS, *GAIN_COLUMNS, OFFSET_COLUMN]
    tables = {name: read_distortions(folder)[columns].to_numpy() for name, folder in folders.items()}
    assert (tables["straight"] == identity).all()
    assert (tables["view"][:, 6:] == identity[6:]).all()
    assert (tables["view"][:, :6] != identity[:6]).any(1).all()
    assert (tables["spectral"][:, :6] == identity[:6]).all()
    assert (tables["spectral"][:, 6:] != identity[6:]).all()
    assert (tables["both"] != identity).any(1).all()


def test_undistorted_scene_is_the_centre_of_what_was_drawn(folders: dict[str, Path]) -> None:
    drawn = draw_scene("harbour", scene_generators(5, list(CLASSES).index("harbour"), 1)[0], PIXELS)
    border = border_pixels(PIXELS)
    assert drawn.shape == (PIXELS + 2 * border, PIXELS + 2 * border, 3)
    centre = np.rint(255 * drawn[border:-border, border:-border])
    np.testing.assert_array_equal(scenes_of(folders["straight"])["harbour/harbour_001.png"], centre)


def test_same_seed_gives_the_same_files(folders: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path, scenes_per_class=PER_CLASS, pixels=PIXELS, seed=5, view=True, spectral=True)
    first, second = ({f.relative_to(d): f.read_bytes() for f in d.rglob("*.*")} for d in (folders["both"], tmp_path))
    assert first == second
    assert len(first) == PER_CLASS * len(CLASSES) + 1


def test_a_scene_does_not_depend_on_how_many_are_written(folders: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path, scenes_per_class=1, pixels=PIXELS, seed=5, view=True, spectral=True)
    many = scenes_of(folders["both"])
    for path, scene in scenes_of(tmp_path).items():
        np.testing.assert_array_equal(scene, many[path])
    few = read_distortions(tmp_path)
    assert few.equals(read_distortions(folders["both"]).loc[few.index])


def test_scenes_are_the_same_with_every_numpy() -> None:
    """A change of these means changes every published figure of the protocol ``demo``: make sure it is intended."""
    means = [draw_scene(name, scene_generators(1, i, 0)[0], 48).mean() for i, name in enumerate(CLASSES)]
    np.testing.assert_allclose(means, MEANS, atol=2e-5)


def test_no_two_scenes_are_alike(folders: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path, scenes_per_class=PER_CLASS, pixels=PIXELS, seed=6, view=False, spectral=False)
    scenes = [*scenes_of(folders["straight"]).values(), *scenes_of(tmp_path).values()]
    for a, b in itertools.combinations(scenes, 2):
        assert np.abs(a.astype(int) - b).mean() > 5


def test_recorded_view_is_the_one_that_torch_samples(folders: dict[str, Path]) -> None:
    straight, seen = scenes_of(folders["straight"]), scenes_of(folders["view"])
    for path, row in read_distortions(folders["view"]).iterrows():
        expected, inside = sampled(straight[str(path)], row[list(AFFINE_COLUMNS)].to_numpy().reshape(2, 3))
        assert inside.mean() > 0.4
        assert np.abs(seen[str(path)] - expected)[inside].max() <= 1.5  # rounding of both scenes to uint8


def test_recorded_spectral_response_is_exact(folders: dict[str, Path]) -> None:
    straight, seen = scenes_of(folders["straight"]), scenes_of(folders["spectral"])
    for path, row in read_distortions(folders["spectral"]).iterrows():
        expected = straight[str(path)] * row[list(GAIN_COLUMNS)].to_numpy() + 255 * row[OFFSET_COLUMN]
        assert np.abs(seen[str(path)] - np.clip(expected, 0, 255)).max() <= 1.3  # rounding, times a gain to 1.5


def test_undoing_the_recorded_distortion_restores_the_scene(folders: dict[str, Path]) -> None:
    straight, distorted = scenes_of(folders["straight"]), scenes_of(folders["both"])
    restored_errors, distorted_errors = [], []
    for path, row in read_distortions(folders["both"]).iterrows():
        scene = distorted[str(path)] / 255
        own_colours = (scene - row[OFFSET_COLUMN]) / row[list(GAIN_COLUMNS)].to_numpy()
        affine = np.vstack([row[list(AFFINE_COLUMNS)].to_numpy().reshape(2, 3), [0, 0, 1]])
        restored, inside = sampled(own_colours, np.linalg.inv(affine)[:2])
        truth = straight[str(path)] / 255
        restored_errors.append(np.abs(restored - truth)[inside].mean())
        distorted_errors.append(np.abs(scene - truth)[inside].mean())
    assert max(restored_errors) < 0.03  # what sampling twice blurs, at 64 pixels
    assert np.mean(restored_errors) < 0.25 * np.mean(distorted_errors)


def test_the_inverse_direction_does_not_restore(folders: dict[str, Path]) -> None:
    """Guards the test above, which the inverse of the affine matrix must fail."""
    straight, seen = scenes_of(folders["straight"]), scenes_of(folders["view"])
    wrong = []
    for path, row in read_distortions(folders["view"]).iterrows():
        restored, inside = sampled(seen[str(path)] / 255, row[list(AFFINE_COLUMNS)].to_numpy().reshape(2, 3))
        wrong.append(np.abs(restored - straight[str(path)] / 255)[inside].mean())
    assert np.mean(wrong) > 0.06


def test_distortions_keep_to_their_ranges() -> None:
    rng = np.random.default_rng(0)
    affine = np.array([draw_affine(rng) for _ in range(500)])
    scale = np.sqrt(np.linalg.det(affine[:, :, :2]))
    turn = np.rad2deg(np.arctan2(affine[:, 1, 0], affine[:, 0, 0]))
    assert 0.75 <= scale.min() < 0.8
    assert 1.25 < scale.max() <= 1.35
    assert -35 <= turn.min() < -33
    assert 33 < turn.max() <= 35
    corners = np.abs(affine[:, :, :2]).sum(2) + np.abs(affine[:, :, 2])
    assert corners.max() <= MARGIN
    gains, offsets = zip(*(draw_spectral(rng) for _ in range(500)), strict=True)
    assert 0.6 < np.min(gains) < 0.7
    assert 1.35 < np.max(gains) < 1.5
    assert 0.07 < np.abs(offsets).max() <= 0.08


def test_little_is_clipped(folders: dict[str, Path]) -> None:
    scenes = np.stack(list(scenes_of(folders["both"]).values()))
    assert ((scenes == 0) | (scenes == 255)).mean() < 0.005


def test_every_view_stays_on_what_was_drawn() -> None:
    """A ramp stays a ramp in every view; a view beyond the canvas would repeat its edge."""
    rng = np.random.default_rng(1)
    canvas = Canvas(PIXELS, rng)
    ramp = np.broadcast_to((canvas.x / canvas.edge + 1)[..., None] / 2, (canvas.size, canvas.size, 3))
    x, y = np.meshgrid(*2 * [(np.arange(PIXELS) + 0.5) * 2 / PIXELS - 1])
    for _ in range(300):
        affine = draw_affine(rng)
        seen_x = affine[0, 0] * x + affine[0, 1] * y + affine[0, 2]
        seen = distort(ramp, PIXELS, affine, np.ones(3), 0.0)[..., 0]
        np.testing.assert_allclose(seen, (seen_x / canvas.edge + 1) / 2, atol=1e-9)


def test_colour_alone_does_not_tell_the_classes_apart() -> None:
    count = 8
    colours = np.array(
        [
            [draw_scene(name, scene_generators(2, i, number)[0], 32).mean((0, 1)) for number in range(count)]
            for i, name in enumerate(CLASSES)
        ]
    ).reshape(-1, 3)
    distance = np.linalg.norm(colours[:, None] - colours, axis=-1)
    np.fill_diagonal(distance, np.inf)
    labels = np.repeat(np.arange(len(CLASSES)), count)
    assert (labels[distance.argmin(1)] == labels).mean() < 0.45


def test_shapes_cover_their_area() -> None:
    canvas = Canvas(96, np.random.default_rng(0))
    canvas.boxes([[0.3, -0.2]], (0.6, 0.3), 0.7, (1, 0, 0))
    canvas.discs([[-0.4, 0.5]], 0.25, (0, 1, 0))
    canvas.ellipses([[0.5, 0.6]], (0.8, 0.5), -0.4, (0, 0, 1))
    area = canvas.image.sum((1, 2)) / canvas.pixels_per_unit**2
    np.testing.assert_allclose(area, [0.6 * 0.3, np.pi * 0.25**2, np.pi * 0.4 * 0.25], rtol=0.01)


def test_shapes_off_the_canvas_and_no_shapes_change_nothing() -> None:
    canvas = Canvas(32, np.random.default_rng(0))
    canvas.boxes([[5.0, 0.0], [0.0, -9.0]], (0.5, 0.2), 0.3, (1, 1, 1))
    canvas.discs(np.empty((0, 2)), np.empty(0), (1, 1, 1))
    assert canvas.image.max() == 0


@pytest.mark.parametrize("pixels", [33, 50])
def test_any_size_can_be_drawn(pixels: int) -> None:
    for i, name in enumerate(CLASSES):
        scene = distort(draw_scene(name, scene_generators(3, i, 0)[0], pixels), pixels, np.eye(2, 3), np.ones(3), 0.0)
        assert scene.shape == (pixels, pixels, 3)
        assert scene.min() >= 0
        assert scene.max() <= 1
        assert scene.std() > 0.02


def test_cards_describe_what_the_generator_writes(folders: dict[str, Path]) -> None:
    cards = {name: card for name, card in load_cards().items() if card.generator is not None}
    assert set(cards) == {"demo-source", "demo-view", "demo-spectral", "demo-both"}
    arguments = {name: card.generator.arguments for name, card in cards.items() if card.generator}
    assert len({argument["seed"] for argument in arguments.values()}) == len(cards)
    distorted = {name: (argument["view"], argument["spectral"]) for name, argument in arguments.items()}
    assert distorted == {
        "demo-source": (False, False),
        "demo-view": (True, False),
        "demo-spectral": (False, True),
        "demo-both": (True, True),
    }
    for name, card in cards.items():
        assert card.pixels == arguments[name]["pixels"]
        assert {scene_class.scenes for scene_class in card.classes} == {arguments[name]["scenes_per_class"]}
        assert [c.name.replace(" ", "_") for c in card.classes] == sorted(p.name for p in folders["view"].glob("*/"))
