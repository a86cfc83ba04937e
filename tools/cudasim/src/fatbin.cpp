// SPDX-License-Identifier: Apache-2.0
// Fatbin container: 16-byte file header, then entries of
//   u16 kind (1 PTX, 2 cubin), u16 version, u32 headerSize, u64 payloadSize,
//   u32 compressedSize, u32 optionsOffset, u16 minor, u16 major, u32 arch,
//   u32 nameOffset, u32 nameLength, u64 flags, u64 0, u64 uncompressedSize.
// flags: 0x2000 payload is an LZ4 block, 0x8000 payload is a zstd frame.
#include "fatbin.h"

#include <dlfcn.h>

#include "common.h"

namespace cs {

namespace {

struct FileHeader {
  uint32_t magic;
  uint16_t version, headerSize;
  uint64_t fatSize;
};
struct EntryHeader {
  uint16_t kind, version;
  uint32_t headerSize;
  uint64_t payloadSize;
  uint32_t compressedSize, optionsOffset;
  uint16_t minor, major;
  uint32_t arch, nameOffset, nameLength;
  uint64_t flags, zero, uncompressedSize;
};
constexpr uint32_t kFatMagic = 0xBA55ED50;

// LZ4 block format decoder.
bool lz4Decode(const uint8_t* src, size_t n, std::string& out, size_t expected) {
  out.clear();
  out.reserve(expected);
  const uint8_t* end = src + n;
  while (src < end) {
    unsigned token = *src++;
    size_t lit = token >> 4;
    if (lit == 15) {
      uint8_t b;
      do {
        if (src >= end) return false;
        b = *src++;
        lit += b;
      } while (b == 255);
    }
    if ((size_t)(end - src) < lit) return false;
    out.append((const char*)src, lit);
    src += lit;
    if (src >= end || out.size() >= expected) break;  // last sequence has no match
    if (end - src < 2) return false;
    size_t off = src[0] | (src[1] << 8);
    src += 2;
    size_t len = (token & 15);
    if (len == 15) {
      uint8_t b;
      do {
        if (src >= end) return false;
        b = *src++;
        len += b;
      } while (b == 255);
    }
    len += 4;
    if (off == 0 || off > out.size()) return false;
    size_t from = out.size() - off;
    for (size_t i = 0; i < len; i++) out.push_back(out[from + i]);
  }
  return out.size() == expected;
}

bool zstdDecode(const void* src, size_t n, std::string& out, size_t expected) {
  using Fn = size_t (*)(void*, size_t, const void*, size_t);
  static Fn fn = [] {
    void* h = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!h) h = dlopen("libzstd.so", RTLD_NOW | RTLD_LOCAL);
    return h ? (Fn)dlsym(h, "ZSTD_decompress") : (Fn) nullptr;
  }();
  if (!fn) {
    report(
        "libzstd.so.1 not found: cannot unpack this fatbin (install libzstd1, or compile with "
        "nvcc --compress-mode=none)");
    return false;
  }
  out.resize(expected);
  size_t r = fn(&out[0], expected, src, n);
  return r == expected;
}

}  // namespace

std::vector<PtxImage> extractPtx(const void* fatbin, bool* sassOnly) {
  std::vector<PtxImage> images;
  bool sass = false;
  const char* base = (const char*)fatbin;
  FileHeader fh;
  memcpy(&fh, base, sizeof fh);
  if (fh.magic != kFatMagic) {
    if (sassOnly) *sassOnly = false;
    // Raw PTX text (cudaLibraryLoadData and friends).
    if (strstr(base, ".version")) {
      PtxImage im;
      im.text = base;
      images.push_back(std::move(im));
    }
  } else {
    size_t off = fh.headerSize, end = fh.headerSize + fh.fatSize;
    while (off + sizeof(EntryHeader) <= end) {
      EntryHeader e;
      memcpy(&e, base + off, sizeof e);
      if (e.headerSize < 64) break;
      const char* payload = base + off + e.headerSize;
      off += e.headerSize + e.payloadSize;
      if (e.kind != 1) {
        sass = true;
        continue;
      }
      PtxImage im;
      im.arch = (int)e.arch;
      bool ok = true;
      size_t csize = e.compressedSize ? e.compressedSize : e.payloadSize;
      if (e.flags & 0x8000)
        ok = zstdDecode(payload, csize, im.text, e.uncompressedSize);
      else if (e.flags & 0x2000)
        ok = lz4Decode((const uint8_t*)payload, csize, im.text, e.uncompressedSize);
      else
        im.text.assign(payload, e.payloadSize);
      if (!ok) {
        report(strf("cannot decompress a PTX image (flags 0x%llx)", (unsigned long long)e.flags));
        continue;
      }
      images.push_back(std::move(im));
    }
  }
  for (auto& im : images) {
    // cut trailing padding and read the target
    size_t z = im.text.find('\0');
    if (z != std::string::npos) im.text.resize(z);
    size_t p = im.text.find(".target");
    if (p != std::string::npos) {
      size_t q = im.text.find("sm_", p);
      if (q != std::string::npos) {
        char* e = nullptr;
        im.arch = (int)strtol(im.text.c_str() + q + 3, &e, 10);
        im.archSpecific = e && (*e == 'a' || *e == 'f');
      }
    }
  }
  if (sassOnly) *sassOnly = images.empty() && sass;
  return images;
}

int pickPtx(const std::vector<PtxImage>& images, int arch) {
  int best = -1;
  for (size_t i = 0; i < images.size(); i++) {
    const PtxImage& im = images[i];
    if (im.arch > arch) continue;
    if (im.archSpecific && im.arch != arch) continue;
    if (best < 0 || im.arch > images[best].arch || (im.arch == images[best].arch && im.archSpecific)) best = (int)i;
  }
  return best;
}

}  // namespace cs
