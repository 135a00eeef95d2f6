"""Every network: it detects and embeds, all of it learns, and its embedding is its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from train.config import BACKBONES, MODELS, FitConfig, make_config
from train.errors import ConfigError
from train.losses.joint import IdentityLosses
from train.models.build import build_network
from train.models.losses import DrawnRois, shared_labels, total_loss, training_losses
from train.models.network import PersonSearchNet
from train.models.targets import PAD, UNLABELLED, Match, Targets, stack_targets

EVERY = [
    (model, backbone)
    for model in MODELS
    for backbone in BACKBONES
    if model == "dc-i-net" or not backbone.endswith("_fpn")
]


def config_of(model: str, **changes: object) -> FitConfig:
    return make_config("tiny", data=(Path("d"),), out=Path("o"), model=model, **changes)


def noise(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 96, 160), dtype=torch.uint8, generator=generator)


def people() -> Targets:
    boxes = torch.tensor([[20.0, 10.0, 50.0, 90.0], [90.0, 20.0, 120.0, 85.0]])
    return stack_targets([boxes, boxes], [torch.tensor([0, 1]), torch.tensor([0, UNLABELLED])])


def made(config: FitConfig) -> tuple[PersonSearchNet, IdentityLosses]:
    torch.manual_seed(0)
    net = build_network(config.network)
    return net, IdentityLosses(config.loss, 5, config.network.dim)


@pytest.mark.parametrize(("model", "backbone"), EVERY)
def test_every_parameter_learns(model: str, backbone: str) -> None:
    config = config_of(model, backbone=backbone)
    net, losses = made(config)
    for _ in range(2):  # the first fills dictionary, centres and table
        terms = training_losses(
            net.train(), losses, noise(2), people(), torch.Generator().manual_seed(0)
        )
    total_loss(terms, config.loss).backward()  # type: ignore[no-untyped-call]
    assert set(config.loss.losses) < set(terms)
    trained = [*net.named_parameters(), *losses.named_parameters()]
    assert not [name for name, value in trained if value.grad is None]
    # A residual branch that starts at zero passes no gradient into its own first layers yet.
    silent = [n for n, p in trained if p.grad is not None and not p.grad.any()]
    assert all("layer" in n or ".features." in n for n in silent), silent


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_a_query_on_a_proposals_box_gives_the_embedding_of_that_box(model: str) -> None:
    net = made(config_of(model, reid_neck=True))[0].eval()
    frames = noise(2)
    boxes = torch.tensor([[20.0, 10.0, 50.0, 90.0], [0.0, 0.0, 160.0, 96.0]]).expand(2, 2, 4)
    embeddings = net.query(frames, boxes)
    torch.testing.assert_close(embeddings, net.embed(net.see(frames), boxes))
    torch.testing.assert_close(embeddings.norm(dim=2), torch.ones(2, 2))
    assert not torch.allclose(embeddings[0, 0], embeddings[0, 1], atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_search_gives_sorted_scores_and_unit_embeddings(model: str) -> None:
    net = made(config_of(model))[0].eval()
    found = net.search(noise(2))
    assert int(found.counts.min()) > 0
    for scores, embeddings, count in zip(found.scores, found.embeddings, found.counts, strict=True):
        assert torch.equal(scores, scores.sort(descending=True).values)
        torch.testing.assert_close(embeddings.norm(dim=1)[:count], torch.ones(int(count)))


@torch.no_grad()
def test_a_shared_head_embeds_proposals_and_a_divided_one_refined_boxes() -> None:
    frames = noise(1)
    for model, from_proposals in (("i-net", True), ("dc-i-net", False)):
        net = made(config_of(model))[0].eval()
        net.detection.deltas.bias.copy_(torch.tensor([3.0, 3.0, 2.0, 2.0]))  # refine a lot
        seen = net.see(frames)
        rois = torch.tensor([[[20.0, 10.0, 50.0, 60.0]]])
        found = net.detect(seen, rois)
        assert (found.boxes - rois).abs().max() > 4
        own = net.describe(seen, found, found.boxes, torch.zeros(1, 1, dtype=torch.int64))
        source = rois if from_proposals else found.boxes
        torch.testing.assert_close(own, net.embed(seen, source))


def test_a_separate_id_net_shares_no_gradient_with_the_detector() -> None:
    config = config_of("separate")
    net, losses = made(config)
    terms = training_losses(net, losses, noise(2), people(), torch.Generator().manual_seed(0))
    terms["softmax"].backward()  # type: ignore[no-untyped-call]
    reached = {n.split(".")[0] for n, p in net.named_parameters() if p.grad is not None}
    assert reached == {"reid"}


def test_detection_alone_has_no_identity_terms() -> None:
    config = config_of("dc-i-net", losses="none")
    net, losses = made(config)
    terms = training_losses(net, losses, noise(2), people(), torch.Generator().manual_seed(0))
    assert list(terms) == ["rpn_class", "rpn_box", "person_class", "person_box"]
    assert total_loss(terms, config.loss) > 0


def test_the_total_weighs_pairs_by_alpha_and_identities_by_beta() -> None:
    config = config_of("dc-i-net", losses="olp+hep", alpha=2.0, beta=0.5, box_loss=3.0).loss
    names = ("rpn_class", "rpn_box", "person_class", "person_box", "olp", "hep")
    terms = {name: torch.tensor(10.0**k) for k, name in enumerate(names)}
    assert total_loss(terms, config) == 1 + 3 * 10 + 100 + 3 * 1000 + 2 * 10_000 + 0.5 * 100_000


def test_shared_labels_keep_the_best_proposals_of_each_person() -> None:
    targets = people()
    row = torch.tensor([[0, 0, 0, 1, 0, 1], [1, 1, 1, 1, 0, 0]])
    overlap = torch.tensor([[0.6, 0.9, 0.7, 0.8, 0.2, 0.5], [0.9, 0.8, 0.7, 0.6, 0.5, 0.1]])
    positive = overlap >= 0.5
    rois = DrawnRois(
        torch.zeros(2, 6, 4), positive, positive, Match(overlap, row, torch.zeros_like(positive))
    )
    labels = shared_labels(rois, targets, per_box=2)
    assert labels[0].tolist() == [PAD, 0, 0, 1, PAD, 1]
    assert labels[1].tolist() == [UNLABELLED, UNLABELLED, PAD, PAD, 0, PAD]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "yolo"}, "unknown model 'yolo'; there are dc-i-net, i-net, oim, separate"),
        ({"backbone": "vgg19"}, "unknown backbone 'vgg19'"),
        ({"losses": "olp+olp"}, "a loss is named twice: olp\\+olp"),
        ({"losses": "arcface"}, "losses"),
        ({"backbone": "vgg16", "reid_rows": 4}, "reid_rows must be 1"),
        ({"dim": 255, "reid_levels": "trunk+head"}, "an even dim"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make_config("tiny", data=(Path("d"),), out=Path("o"), **changes)


def test_the_paper_gives_each_network_its_backbone_losses_and_pooling() -> None:
    def paper(model: str) -> tuple[str, tuple[str, ...], tuple[int, int]]:
        config = make_config("paper", data=(Path("d"),), out=Path("o"), model=model)
        return config.network.backbone, config.loss.losses, config.network.detection_pool_hw

    assert paper("i-net") == ("vgg16", ("olp", "hep"), (7, 7))
    assert paper("dc-i-net") == ("resnet50", ("olp", "c2hep"), (7, 7))
    assert paper("oim") == ("resnet50", ("oim",), (14, 14))
