// SPDX-License-Identifier: Apache-2.0
// Reads idx files, gzipped or not: the format of MNIST and its successors.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>

#include "data.h"

namespace images {
namespace {

struct Bytes {
  std::array<int, 3> sides{1, 1, 1};  // count, height, width
  std::vector<uint8_t> data;
};

Bytes read(const std::string& folder, const std::string& name, size_t dimensions) {
  std::string path = folder + "/" + name;
  if (!std::filesystem::exists(path)) path += ".gz";
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);  // reads both kinds
  if (!file) throw std::runtime_error("cannot read " + folder + "/" + name + " or " + name + ".gz");
  auto fill = [&](void* to, size_t count) {
    if (gzread(file.get(), to, static_cast<unsigned>(count)) == static_cast<int>(count)) return;
    throw std::runtime_error(path + ": damaged, or not as long as its header says");
  };
  std::array<uint8_t, 16> header{};
  fill(header.data(), 4 + 4 * dimensions);
  if (header[0] || header[1] || header[2] != 8 || header[3] != dimensions) {
    throw std::runtime_error(path + ": not an idx file of bytes in " + std::to_string(dimensions) + " dimensions");
  }
  Bytes bytes;
  uint64_t total = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    const uint8_t* b = &header[4 + 4 * d];
    uint32_t side = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | uint32_t{b[3]};
    if (side == 0 || side > 10000000 || (total *= side) > (uint64_t{1} << 31)) {
      throw std::runtime_error(path + ": a side of " + std::to_string(side) + " in its header");
    }
    bytes.sides[d] = static_cast<int>(side);
  }
  bytes.data.resize(total);
  fill(bytes.data.data(), total);
  uint8_t beyond;  // none is there, and with the end the checksum is looked at
  if (gzread(file.get(), &beyond, 1) != 0) throw std::runtime_error(path + ": damaged, or longer than its header says");
  return bytes;
}

// The means of 2 x 2 pixels: a quarter of the work, and the classes stay apart.
Set halved(const Bytes& pixels, const Bytes& labels, const std::vector<int>& chosen) {
  int rows = pixels.sides[1] / 2, columns = pixels.sides[2] / 2, width = pixels.sides[2];
  Set set;
  set.pixels.resize(rows * columns, static_cast<Eigen::Index>(chosen.size()));
  for (size_t i = 0; i < chosen.size(); ++i) {
    const uint8_t* image = &pixels.data[static_cast<size_t>(chosen[i]) * static_cast<size_t>(pixels.sides[1] * width)];
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        const uint8_t* at = image + 2 * r * width + 2 * c;
        set.pixels(r * columns + c, static_cast<Eigen::Index>(i)) =
            static_cast<Scalar>(at[0] + at[1] + at[width] + at[width + 1]);
      }
    }
    set.labels.push_back(labels.data[static_cast<size_t>(chosen[i])]);
  }
  return set;
}

void check_pair(const std::string& folder, const char* part, const Bytes& pixels, const Bytes& labels, int wanted) {
  std::string which = folder + ": the " + part + " files hold ";
  if (pixels.sides[0] != labels.sides[0]) throw std::runtime_error(which + "other numbers of images and of labels");
  if (pixels.sides[1] < 8 || pixels.sides[2] < 8) throw std::runtime_error(which + "images smaller than 8 x 8");
  if (pixels.sides[0] < wanted) {
    throw std::runtime_error(which + std::to_string(pixels.sides[0]) + " images, but " + std::to_string(wanted) +
                             " are wanted: see --train, --validation, --test");
  }
}

}  // namespace

Data read_images(const std::string& folder, const Sizes& sizes) {
  Bytes pixels = read(folder, "train-images-idx3-ubyte", 3), labels = read(folder, "train-labels-idx1-ubyte", 1);
  Bytes test = read(folder, "t10k-images-idx3-ubyte", 3), test_labels = read(folder, "t10k-labels-idx1-ubyte", 1);
  check_pair(folder, "training", pixels, labels, sizes.train + sizes.validation);
  check_pair(folder, "test", test, test_labels, sizes.test);
  if (pixels.sides[1] != test.sides[1] || pixels.sides[2] != test.sides[2]) {
    throw std::runtime_error(folder + ": training and test images are of different sizes");
  }
  std::vector<int> order(labels.data.size()), first(static_cast<size_t>(sizes.test));
  std::iota(order.begin(), order.end(), 0);
  std::iota(first.begin(), first.end(), 0);
  std::mt19937_64 random(1);  // the same images for every run and every call
  std::shuffle(order.begin(), order.end(), random);
  Data data;
  data.name = std::filesystem::path(folder).lexically_normal().filename().string();
  data.height = pixels.sides[1] / 2;
  data.width = pixels.sides[2] / 2;
  data.classes = 1 + std::max(*std::max_element(labels.data.begin(), labels.data.end()),
                              *std::max_element(test_labels.data.begin(), test_labels.data.end()));
  data.train = halved(pixels, labels, {order.begin(), order.begin() + sizes.train});
  data.validation = halved(pixels, labels, {order.end() - sizes.validation, order.end()});
  data.test = halved(test, test_labels, first);
  return data;
}

}  // namespace images
