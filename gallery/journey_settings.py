"""How a journey is built: what counts as the person, and what a person can do."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class JourneySettings(BaseModel):
    """Thresholds are cosines of tracklet means; calibrate them on footage with known truth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: float = Field(
        default=0.60, ge=-1, le=1, description="score a tracklet needs to be taken"
    )
    strong: float = Field(
        default=0.85, ge=-1, le=1, description="score from which a tracklet anchors the journey"
    )
    consider: float = Field(
        default=0.35, ge=-1, le=1, description="score from which a tracklet is worth an explanation"
    )
    rounds: int = Field(
        default=2,
        ge=0,
        le=5,
        description="searches again with the mean of the anchors found so far",
    )
    expansion: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="weight of likeness to that mean; the rest is to the query",
    )
    anchor_bonus: float = Field(
        default=1.0,
        ge=0,
        description="added to an anchor's weight, so that weak visits cannot outvote it",
    )
    clock_slack_s: float = Field(
        default=1.0,
        ge=0,
        description="clocks of two cameras may differ, and two tracklets overlap, by this",
    )
    shot_slack_s: float = Field(
        default=6.0,
        ge=0,
        description="a tracklet may go on so long after its last shot; added to the longest walk",
    )
    return_after_s: float = Field(
        default=600.0,
        ge=0,
        description="after so long the longest walk no longer limits: people come back",
    )
    visit_gap_s: float = Field(
        default=10.0, ge=0, description="tracklets of one camera this close are one visit"
    )
    candidates: int = Field(
        default=600, ge=1, le=10_000, description="sightings looked at to begin with"
    )
    most_candidates: int = Field(
        default=5_000,
        ge=1,
        le=10_000,
        description="sightings looked at, at most; more is not exhaustive",
    )
    most_rejected: int = Field(default=20, ge=0, description="rejected candidates that are told")

    @model_validator(mode="after")
    def _ordered(self) -> "JourneySettings":
        if not self.consider <= self.accept <= self.strong:
            raise ValueError(
                f"consider {self.consider} <= accept {self.accept} <= strong {self.strong} "
                "does not hold"
            )
        return self

    @property
    def shot_floor(self) -> float:
        """Score of a single shot under which its tracklet's mean cannot reach ``consider``.

        The mean of noisy shots scores higher than each of them; by how much is bounded by habit,
        not by proof: 0.7 holds for four shots and likeness of 0.3 between them.
        """
        return 0.7 * self.consider if self.consider > 0 else self.consider
