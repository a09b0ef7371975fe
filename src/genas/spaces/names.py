"""The operations of the spaces by number (methods.md 1.2, 13.1, 14)."""

DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NASBENCH201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NASBENCH_MACRO_OPERATIONS = ("identity", "mbconv_k3_e3", "mbconv_k5_e6")
