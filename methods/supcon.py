"""SupCon: supervised contrastive learning, every other scene of the class as a positive."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from rsir_bench.method import Card, PairMethod, PairSettings
from rsir_bench.nn.metric_losses import supervised_contrastive_loss


class SupConSettings(PairSettings):
    """Changed by ``--set methods.supcon.temperature=0.07``.

    Attributes:
        temperature: Divisor of the cosines.
    """

    temperature: float = Field(0.1, gt=0)


class SupCon(PairMethod[SupConSettings]):
    """Khosla et al.: the loss of section 3.2 (sum outside the logarithm), on the protocol's trunk."""

    card = Card(
        name="supcon",
        title="SupCon",
        paper="Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan: Supervised contrastive learning, "
        "NeurIPS 2020",
        year=2020,
        rows=PairMethod.ROWS,
        stated=[
            "all scenes of a class are positives of each other; the mean over positives outside the logarithm; "
            "temperature 0.1",
        ],
        choices=[
            "show one view of each scene, as the other rows do (original: two strongly augmented ones); positives come "
            "from batches of P classes x 4 scenes",
            "use one linear layer to the embedding and describe with it (original: a projection of two layers that is "
            "thrown away)",
            "use the protocol's batch size (original: up to 6,144)",
            "expect less of few positives and one plain view of each scene than its authors got from large batches and "
            "strong augmentation",
            "fit PCA on the embedding, so that its length is that of the other rows",
        ],
    )
    Settings = SupConSettings

    def embedding_loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the supervised contrastive loss, a scalar float, of embeddings (N, D) with labels (N,)."""
        return supervised_contrastive_loss(embeddings, labels, self.settings.temperature)
