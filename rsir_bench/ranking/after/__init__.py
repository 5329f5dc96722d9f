"""Post-processing: query expansion, database augmentation, re-ranking, diffusion, whitening; and a plugin's own.

Names with values become objects in ``rsir_bench.ranking.after.named``. docs/postprocessing.md has the definitions.
"""

from rsir_bench.ranking.after.contract import PostProcessing, Processed, Vectors, number

__all__ = ["PostProcessing", "Processed", "Vectors", "number"]
