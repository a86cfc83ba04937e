// SPDX-License-Identifier: Apache-2.0
// Labelled images as the network reads them: from idx files, or glyphs made here. Used by main.cpp and train.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "scalar.h"

namespace images {

struct Set {
  Matrix pixels;  // a column per image, row by row
  std::vector<int> labels;
  int count() const { return static_cast<int>(labels.size()); }
};

struct Data {
  std::string name;
  int height = 0, width = 0, classes = 0;
  Set train, validation, test;
};

struct Sizes {
  int train = 10000, validation = 5000, test = 10000;
};

// The four files of MNIST and its successors (train- and t10k-, images-idx3- and labels-idx1-ubyte, with .gz or
// without) of a folder, at half their side; training and validation images are drawn from the training files. Throws
// std::runtime_error that names the file.
Data read_images(const std::string& folder, const Sizes& sizes);

// Ten curves of 40 points, stretched, moved and tilted in smooth noise, after MNIST-1D: a task for where no images are.
Data make_glyphs(const Sizes& sizes);

// Gives so large a share of the training images a label drawn at random.
void add_label_noise(Data& data, double share);

// Mean 0 and standard deviation 1 over the training pixels.
void standardise(Data& data);

}  // namespace images
