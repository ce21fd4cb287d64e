"""The part of the build that pyproject.toml cannot say: the kernels in C, without which biorrn works, but slower."""

from setuptools import Extension, setup

FOLDER = "biorrn/kernels/lstm"

setup(
    ext_modules=[
        Extension(
            "biorrn.kernels.lstm._native",
            sources=[f"{FOLDER}/native.c"],
            depends=[
                f"{FOLDER}/vectors.h",
                f"{FOLDER}/layers.h",
                f"{FOLDER}/property.h",
                "biorrn/kernels/crf/viterbi.h",
                "biorrn/kernels/edits/edits.h",
                "setup.py",
            ],
            # sums must not depend on where a compiler fuses operations: the code says where
            extra_compile_args=["-std=gnu11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wno-psabi"],
            optional=True,
        )
    ]
)
