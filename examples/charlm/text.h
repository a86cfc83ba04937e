// SPDX-License-Identifier: Apache-2.0
// Text files as a character model reads them: bytes numbered by first appearance, a tenth held out. Used by main.cpp.
#pragma once
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace charlm {

struct Text {
  std::vector<uint8_t> train, validation;  // bytes as numbers of the alphabet
  int alphabet = 0;
};

inline Text read_text(const std::vector<std::string>& files) {
  std::string all;
  for (const std::string& name : files) {
    std::ifstream in(name, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + name);
    all.append(std::istreambuf_iterator<char>(in), {});
  }
  if (all.size() < 20000) throw std::runtime_error("the text has fewer than 20,000 bytes: give more files");
  Text text;
  int number[256];
  std::fill(number, number + 256, -1);
  for (char c : all) {
    int& n = number[static_cast<uint8_t>(c)];
    if (n < 0) n = text.alphabet++;
  }
  // Every tenth block of 2,000 bytes is held out.
  for (size_t i = 0; i < all.size(); ++i) {
    (i / 2000 % 10 == 9 ? text.validation : text.train)
        .push_back(static_cast<uint8_t>(number[static_cast<uint8_t>(all[i])]));
  }
  return text;
}

}  // namespace charlm
