"""Old names, from when all modules were in one folder: they work for one more release, and warn with the new name.

Modules of the command line and of the report were never meant for import, and have no entry.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "rsir_bench."

MOVED = {
    "accept": "publishing.accept",
    "batches": "scenes.batches",
    "campaign": "runs.runners.campaign",
    "cluster": "runs.runners.cluster runs.runners.nodes runs.runners.ray_access",
    "conformance.bench": "conformance.harness",
    "describe": "training.describe",
    "descriptor_files": "ranking.descriptor_files ranking.files.descriptors ranking.files.arrays",
    "errors": "base.errors",
    "estimate": "runs.estimate",
    "files": "base.files",
    "leaderboard.comparison": "leaderboard.significance",
    "leaderboard.drift": "publishing.drift records.cells records.verdict",
    "leaderboard.folder": "leaderboard.write",
    "leaderboard.paper": "records.paper",
    "leaderboard.page": "leaderboard.formats leaderboard.grids",
    "leaderboard.render": "leaderboard.formats leaderboard.pages.cells leaderboard.grids",
    "leaderboard.style": "leaderboard.grids leaderboard.formats",
    "leaderboard.traces": "records.commands",
    "method_listing": "method.card_text",
    "nn.across": "nn.collectives",
    "nn.centre": "nn.metric_losses",
    "nn.histogram": "nn.contrast",
    "nn.non_local": "nn.attention",
    "nn.pgn": "nn.transformation",
    "nn.ranking_loss": "nn.metric_losses",
    "nn.spectral": "nn.transformation",
    "nn.triplet": "nn.metric_losses",
    "nn.wallis": "nn.contrast",
    "parallel": "training.distributed",
    "plan": "runs.plan runs.keys runs.resolve runs.request",
    "progress": "base.progress",
    "publish": "publishing.publish",
    "queries": "ranking.queries",
    "ranking.inputs": "ranking.task",
    "ranking.positives": "ranking.ties",
    "ranking.workers": "ranking.threads",
    "recorded": "runs.locate",
    "registry": "method.registry",
    "results": "records.schema records.store",
    "scenes.archive": "scenes.acquire.archive",
    "scenes.audit": "scenes.inspect.duplicates",
    "scenes.cache": "scenes.pixel_cache",
    "scenes.disk": "scenes.acquire.disk_space",
    "scenes.distort": "scenes.distortions",
    "scenes.download": "scenes.acquire.download",
    "scenes.fetch": "scenes.acquire.http",
    "scenes.layout": "scenes.folders",
    "scenes.listing": "scenes.inspect.listing",
    "scenes.manifest": "scenes.inspect.manifest",
    "scenes.paths": "scenes.cache_folder",
    "scenes.picture": "scenes.data_uri",
    "scenes.verify": "scenes.inspect.verify records.verdict",
    "search.kept": "search.index_cache",
    "search.space": "ranking.nearest",
    "statistics": "leaderboard.statistics",
    "template": "method.template",
    "toml": "base.toml",
    "train": "training.loop training.device",
}
"""Old module -> the new modules that hold its names, all without ``rsir_bench.``."""

MOVED_FROM = {
    "method": {
        "A_FILE_OF_WEIGHTS": "method.contract",
        "Composed": "method.composition",
        "ComposedSettings": "method.composition",
        "NamedMethod": "method.spec:MethodSpec",
        "Start": "method.contract:WeightSource",
        "compose": "method.composition",
        "trainable": "method.contract",
    },
    "nn.collectives": {
        "common": "nn.collectives:broadcast_tensors",
        "gathered": "nn.collectives:all_gather_with_grad",
        "summed": "nn.collectives:all_reduce_sum",
    },
    "protocol": {"GOES_WITH": "protocol.schema", "suggest": "base.errors"},
}
"""Package or module that kept its name -> names that it had -> the module where they are now, and ``:new name``."""


class MovedModules(MetaPathFinder, Loader):
    """A finder of modules by their old names, which is asked after all others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a specification for an old name, None for any other."""
        is_old = fullname.startswith(PACKAGE) and fullname.removeprefix(PACKAGE) in MOVED
        return ModuleSpec(fullname, self) if is_old else None

    def exec_module(self, module: ModuleType) -> None:
        """Make the module look up its names in the new modules; warn at the import."""
        old = module.__name__
        homes = [PACKAGE + home for home in MOVED[old.removeprefix(PACKAGE)].split()]
        warnings.warn(f"{old} is now {', '.join(homes)}", DeprecationWarning, stacklevel=2)

        def find(name: str) -> Any:
            if not name.startswith("__"):  # debuggers ask for dunder names, which must import nothing
                for home in map(importlib.import_module, homes):
                    if hasattr(home, name):
                        return getattr(home, name)
            raise AttributeError(f"module {old!r} has no attribute {name!r}", name=name)

        vars(module)["__getattr__"] = find


def serve_old_modules() -> None:
    """Let this process import modules by their old names."""
    sys.meta_path.append(MovedModules())


def serve_old_names(package: str) -> None:
    """Keep a package's old names available; called by the package itself.

    Type checkers do not see them.

    Args:
        package: Its full name.
    """
    homes = MOVED_FROM[package.removeprefix(PACKAGE)]

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        module, _, renamed = homes[name].partition(":")
        home, new = PACKAGE + module, renamed or name
        warnings.warn(f"{package}.{name} is now {home}.{new}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(home), new)

    vars(sys.modules[package])["__getattr__"] = find
