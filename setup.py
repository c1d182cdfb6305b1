"""Packaging of keras_audio_vae: `pip install -c constraints.txt .` installs the set of versions that is tested."""

import sys

if not (3, 11) <= sys.version_info[:2] < (3, 13):
    sys.exit("keras_audio_vae needs Python 3.11 or 3.12 (TensorFlow 2.16 has no other); this is Python " + sys.version)

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="keras_audio_vae",
    version="0.1.0",
    description="Variational autoencoders for sound: a folder of audio in, a Keras model and a SavedModel out.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["keras_audio_vae", "keras_audio_vae.*", "trainers", "trainers.*", "configs"]),
    package_data={
        "configs": ["*.flags"],
        "keras_audio_vae.datasets": ["fluidnotes/*", "fluidnotes/*/*"],
    },
    install_requires=[
        # tensorflow-io's native library loads on TensorFlow 2.16 alone; the three below it must match TensorFlow.
        "tensorflow>=2.16.2,<2.17",
        "tensorflow-io>=0.37.1,<0.38",
        "tensorflow-probability>=0.24.0,<0.25",
        "tf-keras>=2.16.0,<2.17",
        "tensorboard>=2.16.2,<2.17",
        "keras>=3.15.1,<4",
        "numpy>=1.26.4,<2",
        "librosa>=0.11.0",
        "soundfile>=0.13.0",
        "soxr>=0.5.0",
        "scipy>=1.13.0",
        "pyloudnorm>=0.2.0",
        "matplotlib>=3.9.0",
        "absl-py>=2.1.0",
        # TensorFlow Probability imports distutils, TensorBoard pkg_resources: setuptools has both up to here.
        "setuptools>=68.0,<81",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]>=2.16.2,<2.17"],
        "beam": ["apache-beam>=2.77,<3"],
        "dev": [
            "apache-beam>=2.77,<3",
            "hypothesis>=6.100",
            "import-linter>=2.1",
            "mypy>=1.13",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "scikit-learn>=1.4",
        ],
    },
    entry_points={
        "console_scripts": [
            "kav-fit = trainers.fit:cli",
            "kav-evaluate = trainers.evaluate:cli",
            "kav-reconstruct = trainers.reconstruct:cli",
            "kav-export = trainers.export:cli",
            "kav-prepare = trainers.prepare:cli",
        ],
    },
)
