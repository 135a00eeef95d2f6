"""Tables 1 to 3 of Zhang et al., TPAMI 2020: systems compared on three data sets."""

from train.experiments.table import Row, Table, Training, published

DC_VGG = Training(backbone="vgg16")
DC_RESNET = Training(backbone="resnet50")
I_NET = Training(model="i-net", backbone="vgg16")
OIM = Training(model="oim", backbone="resnet50")
SEPARATE = Training(model="separate", backbone="resnet50")

_METHODS = ("DSIFT + Euclidean", "DSIFT + KISSME", "BoW + KISSME", "LOMO + XQDA", "IDNet")
_BASELINES = {
    "ACF": ((21.7, 25.9), (32.3, 38.1), (42.4, 48.4), (55.5, 63.1), (56.5, 63.0)),
    "CCF": ((11.3, 11.7), (13.4, 13.9), (26.9, 29.3), (41.2, 46.4), (50.9, 57.1)),
    "CNN": ((34.5, 39.4), (47.8, 53.6), (56.9, 62.3), (68.9, 74.1), (68.6, 74.8)),
    "GT": ((41.1, 45.9), (56.2, 61.9), (62.5, 67.2), (72.4, 76.7), (73.1, 78.3)),
}
_BUILT = {"CNN": "detections", "GT": "truth"}
"""Detectors whose IDNet row is trained here, and the boxes that it searches."""


def _baseline(detector: str, method: str, figures: tuple[float, float]) -> Row:
    label = f"{detector}: {method}"
    if method != "IDNet" or detector not in _BUILT:
        return Row(label, published(*figures))
    return Row(label, published(*figures), SEPARATE, boxes=_BUILT[detector])


TABLE_1 = Table(
    name="1",
    title="Baselines, compared systems and DC-I-Net on CUHK-SYSU, gallery of 100",
    data="CUHK-SYSU",
    columns=("map", "top1"),
    rows=(
        *(
            _baseline(detector, method, figures)
            for detector, rows in _BASELINES.items()
            for method, figures in zip(_METHODS, rows, strict=True)
        ),
        Row("End-to-End (initialized model)", published(55.7, 62.7)),
        Row("OIM", published(75.5, 78.7), OIM),
        Row("IAN", published(None, 80.1)),
        Row("NPSM", published(None, 81.2)),
        Row("RCAA", published(79.3, 81.3)),
        Row("CNNv + MGTS", published(83.0, 83.7)),
        Row("I-Net", published(79.5, 81.5), I_NET),
        Row("Context Graph", published(84.1, 86.5)),
        Row("DC-I-Net (VGG16)", published(83.7, 85.8), DC_VGG),
        Row("DC-I-Net (ResNet-50)", published(86.2, 86.5), DC_RESNET),
    ),
    remarks=(
        "Detector CNN is Faster R-CNN with ResNet-50; GT are the annotated boxes.",
        "The mAP of I-Net is that of Table 4, of Context Graph what section 5.2.2 gives it.",
    ),
)

TABLE_2 = Table(
    name="2",
    title="Baselines, compared systems and DC-I-Net on PRW",
    data="PRW",
    columns=("map", "top1"),
    rows=(
        Row("DPM + BoW", published(9.7, 31.1)),
        Row("DPM + IDE_det", published(18.8, 45.9)),
        Row("DPM-Alex + LOMO + XQDA", published(13.0, 34.1)),
        Row("DPM-Alex + IDE_det", published(20.3, 47.4)),
        Row("DPM-Alex + IDE_det + CWS", published(20.5, 48.3)),
        Row("ACF + LOMO + XQDA", published(10.5, 30.9)),
        Row("ACF + IDE_det", published(17.5, 43.8)),
        Row("ACF-Alex + LOMO + XQDA", published(10.3, 30.6)),
        Row("ACF-Alex + IDE_det", published(17.5, 43.6)),
        Row("ACF-Alex + IDE_det + CWS", published(17.8, 45.2)),
        Row("LDCF + BoW", published(9.1, 29.8)),
        Row("LDCF + LOMO + XQDA", published(11.0, 31.1)),
        Row("LDCF + IDE_det", published(18.3, 44.6)),
        Row("LDCF + IDE_det + CWS", published(18.3, 45.5)),
        Row("OIM", published(21.3, 49.9), OIM),
        Row("NPSM", published(24.2, 53.1)),
        Row("I-Net", published(25.6, 48.7), I_NET),
        Row("DC-I-Net (VGG16)", published(30.4, 53.3), DC_VGG),
        Row("DC-I-Net (ResNet-50)", published(31.8, 55.1), DC_RESNET),
    ),
)

_DETECTED = "with detection: "
_WHOLE = "without detection: "


def _whole(label: str, training: Training, *figures: float) -> Row:
    """Return a row that compares whole pictures."""
    return Row(_WHOLE + label, published(*figures), training, boxes="frame", query="frame")


TABLE_3 = Table(
    name="3",
    title="Tattoo search on WebTattoo, with and without detection",
    data="WebTattoo",
    columns=("map", "top1", "top5", "top10"),
    rows=(
        Row(_DETECTED + "OIM", published(38.2, 39.5, 55.5, 60.5), OIM),
        Row(_DETECTED + "I-Net", published(41.7, 44.0, 61.0, 67.5), I_NET),
        Row(_DETECTED + "DC-I-Net", published(48.5, 51.0, 66.5, 71.5), DC_VGG),
        _whole("OIM", OIM, 21.5, 23.0, 40.0, 41.5),
        _whole("I-Net", I_NET, 23.5, 25.5, 39.5, 44.0),
        _whole("DC-I-Net", DC_VGG),
    ),
    remarks=(
        "Without detection a picture is embedded as a whole, in the gallery and as a query.",
        "The text of the paper at hand has no figures for DC-I-Net without detection, and does "
        "not name the backbone; VGG16 is taken.",
    ),
)
