"""What torchvision publishes of its classifiers' weights: reading it there would import all of torchvision.

That takes a second, which the demo would spend at every start to fill one list. A test holds each row against
torchvision's own.
"""

from typing import Literal, NamedTuple

HOST = "https://download.pytorch.org/models/"
IMAGENET_MEAN, IMAGENET_STD, HALF = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (0.5, 0.5, 0.5)


class Published(NamedTuple):
    """The default weights of one classifier, and the input that they were made for."""

    file: str  # its name ends with the start of its SHA-256
    megabytes: float
    parameters: int
    accuracy: float  # ImageNet top-1 in percent
    resize: int
    crop: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


WEIGHTS: dict[str, Published] = {
    "alexnet": Published("alexnet-owt-7be5be79.pth", 233.087, 61100840, 56.522, 256, 224),
    "vgg11": Published("vgg11-8a719046.pth", 506.84, 132863336, 69.02, 256, 224),
    "vgg13": Published("vgg13-19584684.pth", 507.545, 133047848, 69.928, 256, 224),
    "vgg16": Published("vgg16-397923af.pth", 527.796, 138357544, 71.592, 256, 224),
    "vgg19": Published("vgg19-dcbb9e9d.pth", 548.051, 143667240, 72.376, 256, 224),
    "vgg11_bn": Published("vgg11_bn-6002323d.pth", 506.881, 132868840, 70.37, 256, 224),
    "vgg13_bn": Published("vgg13_bn-abd245e5.pth", 507.59, 133053736, 71.586, 256, 224),
    "vgg16_bn": Published("vgg16_bn-6c64b313.pth", 527.866, 138365992, 73.36, 256, 224),
    "vgg19_bn": Published("vgg19_bn-c79401a0.pth", 548.143, 143678248, 74.218, 256, 224),
    "squeezenet1_0": Published("squeezenet1_0-b66bff10.pth", 4.778, 1248424, 58.092, 256, 224),
    "squeezenet1_1": Published("squeezenet1_1-b8a52dc0.pth", 4.729, 1235496, 58.178, 256, 224),
    "googlenet": Published("googlenet-1378be20.pth", 49.731, 6624904, 69.778, 256, 224),
    "inception_v3": Published("inception_v3_google-0cc3c7bd.pth", 103.903, 27161264, 77.294, 342, 299),
    "resnet18": Published("resnet18-f37072fd.pth", 44.661, 11689512, 69.758, 256, 224),
    "resnet34": Published("resnet34-b627a593.pth", 83.275, 21797672, 73.314, 256, 224),
    "resnet50": Published("resnet50-11ad3fa6.pth", 97.79, 25557032, 80.858, 232, 224),
    "resnet101": Published("resnet101-cd907fc2.pth", 170.53, 44549160, 81.886, 232, 224),
    "resnet152": Published("resnet152-f82ba261.pth", 230.474, 60192808, 82.284, 232, 224),
    "wide_resnet50_2": Published("wide_resnet50_2-9ba9bcbe.pth", 263.124, 68883240, 81.602, 232, 224),
    "wide_resnet101_2": Published("wide_resnet101_2-d733dc28.pth", 484.747, 126886696, 82.51, 232, 224),
    "resnext50_32x4d": Published("resnext50_32x4d-1a0047aa.pth", 95.833, 25028904, 81.198, 232, 224),
    "resnext101_32x8d": Published("resnext101_32x8d-110c445d.pth", 339.673, 88791336, 82.834, 232, 224),
    "resnext101_64x4d": Published("resnext101_64x4d-173b62eb.pth", 319.318, 83455272, 83.246, 232, 224),
    "densenet121": Published("densenet121-a639ec97.pth", 30.845, 7978856, 74.434, 256, 224),
    "densenet161": Published("densenet161-8d451a50.pth", 110.369, 28681000, 77.138, 256, 224),
    "densenet169": Published("densenet169-b2777c0a.pth", 54.708, 14149480, 75.6, 256, 224),
    "densenet201": Published("densenet201-c1103571.pth", 77.373, 20013928, 76.896, 256, 224),
    "mobilenet_v2": Published("mobilenet_v2-7ebf99e0.pth", 13.598, 3504872, 72.154, 232, 224),
    "mobilenet_v3_small": Published("mobilenet_v3_small-047dcff4.pth", 9.829, 2542856, 67.668, 256, 224),
    "mobilenet_v3_large": Published("mobilenet_v3_large-5c1a4163.pth", 21.107, 5483032, 75.274, 232, 224),
    "shufflenet_v2_x0_5": Published("shufflenetv2_x0.5-f707e7126e.pth", 5.282, 1366792, 60.552, 256, 224),
    "shufflenet_v2_x1_0": Published("shufflenetv2_x1-5666bf0f80.pth", 8.791, 2278604, 69.362, 256, 224),
    "shufflenet_v2_x1_5": Published("shufflenetv2_x1_5-3c479a10.pth", 13.557, 3503624, 72.996, 232, 224),
    "shufflenet_v2_x2_0": Published("shufflenetv2_x2_0-8be3c8ee.pth", 28.433, 7393996, 76.23, 232, 224),
    "mnasnet0_5": Published("mnasnet0.5_top1_67.823-3ffadce67e.pth", 8.591, 2218512, 67.734, 256, 224),
    "mnasnet0_75": Published("mnasnet0_75-7090bc5f.pth", 12.303, 3170208, 71.18, 232, 224),
    "mnasnet1_0": Published("mnasnet1.0_top1_73.512-f206786ef8.pth", 16.915, 4383312, 73.456, 256, 224),
    "mnasnet1_3": Published("mnasnet1_3-a4c69d6f.pth", 24.246, 6282256, 76.506, 232, 224),
    "efficientnet_b0": Published(
        "efficientnet_b0_rwightman-7f5810bc.pth", 20.451, 5288548, 77.692, 256, 224, "bicubic"
    ),
    "efficientnet_b1": Published("efficientnet_b1-c27df63c.pth", 30.136, 7794184, 79.838, 255, 240),
    "efficientnet_b2": Published(
        "efficientnet_b2_rwightman-c35c1473.pth", 35.174, 9109994, 80.608, 288, 288, "bicubic"
    ),
    "efficientnet_b3": Published(
        "efficientnet_b3_rwightman-b3899882.pth", 47.184, 12233232, 82.008, 320, 300, "bicubic"
    ),
    "efficientnet_b4": Published(
        "efficientnet_b4_rwightman-23ab8bcd.pth", 74.489, 19341616, 83.384, 384, 380, "bicubic"
    ),
    "efficientnet_b5": Published(
        "efficientnet_b5_lukemelas-1a07897c.pth", 116.864, 30389784, 83.444, 456, 456, "bicubic"
    ),
    "efficientnet_b6": Published(
        "efficientnet_b6_lukemelas-24a108a5.pth", 165.362, 43040704, 84.008, 528, 528, "bicubic"
    ),
    "efficientnet_b7": Published(
        "efficientnet_b7_lukemelas-c5b4e57e.pth", 254.675, 66347960, 84.122, 600, 600, "bicubic"
    ),
    "efficientnet_v2_s": Published("efficientnet_v2_s-dd5fe13b.pth", 82.704, 21458488, 84.228, 384, 384),
    "efficientnet_v2_m": Published("efficientnet_v2_m-dc08266a.pth", 208.01, 54139356, 85.112, 480, 480),
    "efficientnet_v2_l": Published(
        "efficientnet_v2_l-59c71312.pth", 454.573, 118515272, 85.808, 480, 480, "bicubic", HALF, HALF
    ),
    "regnet_x_400mf": Published("regnet_x_400mf-62229a5f.pth", 21.257, 5495976, 74.864, 232, 224),
    "regnet_x_800mf": Published("regnet_x_800mf-94a99ebd.pth", 27.945, 7259656, 77.522, 232, 224),
    "regnet_x_1_6gf": Published("regnet_x_1_6gf-a12f2b72.pth", 35.339, 9190136, 79.668, 232, 224),
    "regnet_x_3_2gf": Published("regnet_x_3_2gf-7071aa85.pth", 58.756, 15296552, 81.196, 232, 224),
    "regnet_x_8gf": Published("regnet_x_8gf-2b70d774.pth", 151.456, 39572648, 81.682, 232, 224),
    "regnet_x_16gf": Published("regnet_x_16gf-ba3796d7.pth", 207.627, 54278536, 82.716, 232, 224),
    "regnet_x_32gf": Published("regnet_x_32gf-6eb8fdc6.pth", 412.039, 107811560, 83.014, 232, 224),
    "regnet_y_400mf": Published("regnet_y_400mf-e6988f5f.pth", 16.806, 4344144, 75.804, 232, 224),
    "regnet_y_800mf": Published("regnet_y_800mf-58fc7688.pth", 24.774, 6432512, 78.828, 232, 224),
    "regnet_y_1_6gf": Published("regnet_y_1_6gf-0d7bc02a.pth", 43.152, 11202430, 80.876, 232, 224),
    "regnet_y_3_2gf": Published("regnet_y_3_2gf-9180c971.pth", 74.567, 19436338, 81.982, 232, 224),
    "regnet_y_8gf": Published("regnet_y_8gf-dc2b1b54.pth", 150.701, 39381472, 82.828, 232, 224),
    "regnet_y_16gf": Published("regnet_y_16gf-3e4a00f9.pth", 319.49, 83590140, 82.886, 232, 224),
    "regnet_y_32gf": Published("regnet_y_32gf-8db6d4b5.pth", 554.076, 145046770, 83.368, 232, 224),
    "regnet_y_128gf": Published(
        "regnet_y_128gf_swag-c8ce3e52.pth", 2461.564, 644812894, 88.228, 384, 384, "bicubic"
    ),
    "convnext_tiny": Published("convnext_tiny-983f1562.pth", 109.119, 28589128, 82.52, 236, 224),
    "convnext_small": Published("convnext_small-0c510722.pth", 191.703, 50223688, 83.616, 230, 224),
    "convnext_base": Published("convnext_base-6075fbad.pth", 338.064, 88591464, 84.062, 232, 224),
    "convnext_large": Published("convnext_large-ea097f82.pth", 754.537, 197767336, 84.414, 232, 224),
    "vit_b_16": Published("vit_b_16-c867db91.pth", 330.285, 86567656, 81.072, 256, 224),
    "vit_b_32": Published("vit_b_32-d86f8d99.pth", 336.604, 88224232, 75.912, 256, 224),
    "vit_l_16": Published("vit_l_16-852ce7e3.pth", 1161.023, 304326632, 79.662, 242, 224),
    "vit_l_32": Published("vit_l_32-c7638314.pth", 1169.449, 306535400, 76.972, 256, 224),
    "vit_h_14": Published("vit_h_14_swag-80465313.pth", 2416.643, 633470440, 88.552, 518, 518, "bicubic"),
    "swin_t": Published("swin_t-704ceda3.pth", 108.19, 28288354, 81.474, 232, 224, "bicubic"),
    "swin_s": Published("swin_s-5e29d889.pth", 189.786, 49606258, 83.196, 246, 224, "bicubic"),
    "swin_b": Published("swin_b-68c6b09e.pth", 335.364, 87768224, 83.582, 238, 224, "bicubic"),
    "swin_v2_t": Published("swin_v2_t-b137f0e2.pth", 108.626, 28351570, 82.072, 260, 256, "bicubic"),
    "swin_v2_s": Published("swin_v2_s-637d8ceb.pth", 190.675, 49737442, 83.712, 260, 256, "bicubic"),
    "swin_v2_b": Published("swin_v2_b-781e5279.pth", 336.372, 87930848, 84.112, 272, 256, "bicubic"),
    "maxvit_t": Published("maxvit_t-bc5ab103.pth", 118.769, 30919624, 83.7, 224, 224, "bicubic"),
}
