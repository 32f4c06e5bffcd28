#!/usr/bin/env python3
"""Writes the names of ImageNet's 1000 classes, one a line, in class order.

Class order is the ascending order of the WordNet ids; names are WordNet's, both as timm's wheel
(Apache-2.0) has them.
"""

import argparse
import zipfile

FOLDER = "timm/data/_info/"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", help="timm's wheel")
    parser.add_argument("output", help="the text file to write")
    args = parser.parse_args()
    wheel = zipfile.ZipFile(args.wheel)
    ids = wheel.read(FOLDER + "imagenet_synsets.txt").decode().split()
    lines = wheel.read(FOLDER + "imagenet_synset_to_lemma.txt").decode().splitlines()
    names = dict(line.split("\t") for line in lines)
    with open(args.output, "w", encoding="utf-8", newline="\n") as f:
        f.writelines(names[wordnet_id] + "\n" for wordnet_id in ids)


if __name__ == "__main__":
    main()
