// SPDX-License-Identifier: Apache-2.0
// Extraction of PTX text from the fat binaries that nvcc embeds.
#pragma once
#include <string>
#include <vector>

namespace cs {

struct PtxImage {
  int arch = 0;               // compute_XX the text was generated for
  bool archSpecific = false;  // sm_90a / sm_100f style targets
  std::string text;
};

// All PTX images of one fatbin blob (decompressed). `sassOnly` is set when the
// blob holds only machine code.
std::vector<PtxImage> extractPtx(const void* fatbin, bool* sassOnly);

// Index of the best image for the simulated architecture, or -1.
int pickPtx(const std::vector<PtxImage>& images, int arch);

}  // namespace cs
