"""Multi-similarity loss: pairs of a batch, weighted by how similar they are among the others."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from rsir_bench.method import Card, PairMethod, PairSettings
from rsir_bench.nn.metric_losses import multi_similarity_loss


class MultiSimilaritySettings(PairSettings):
    """Changed by ``--set methods.multi-similarity.beta=40``.

    Attributes:
        alpha: Sharpness of the positive pairs.
        beta: Sharpness of the negative pairs.
        base: Cosine at which a pair starts to count (lambda).
        epsilon: Margin of the mining.
    """

    alpha: float = Field(2, gt=0)
    beta: float = Field(50, gt=0)
    base: float = 0.5
    epsilon: float = Field(0.1, ge=0)


class MultiSimilarity(PairMethod[MultiSimilaritySettings]):
    """Wang, Han, Huang, Dong, Scott: sections 3 and 4, on the protocol's trunk."""

    card = Card(
        name="multi-similarity",
        title="Multi-Similarity",
        paper="Wang, Han, Huang, Dong, Scott: Multi-similarity loss with general pair weighting for deep metric "
        "learning, CVPR 2019",
        year=2019,
        rows=PairMethod.ROWS,
        stated=[
            "pairs are mined with a margin of 0.1, then weighted: alpha 2, beta 50; embeddings of unit length, 512 "
            "values; batches with several scenes of each class",
            "official code: a base of 0.5 (the paper: 1)",
        ],
        choices=[
            "use the protocol's trunk, schedule and rate for everything (original: Adam at 1e-5, Inception-BN)",
            "draw batches of P classes x 4 scenes (original: 5)",
            "fit PCA on the embedding, so that its length is that of the other rows",
        ],
    )
    Settings = MultiSimilaritySettings

    def embedding_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the multi-similarity loss, a scalar float, of embeddings (N, D) with labels (N,)."""
        own = self.settings
        return multi_similarity_loss(embeddings, labels, own.alpha, own.beta, own.base, own.epsilon)
