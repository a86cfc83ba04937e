// SPDX-License-Identifier: Apache-2.0
// A Thrust program: transform, reduce, sort, scan.
#include <thrust/device_vector.h>
#include <thrust/host_vector.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sort.h>
#include <thrust/transform.h>

#include <algorithm>

#include "common.h"

struct Sq {
  __host__ __device__ float operator()(float x) const { return x * x; }
};

int main() {
  int n = 20000;
  thrust::host_vector<float> h(n);
  for (int i = 0; i < n; i++) h[i] = (float)(mix(i) % 64);
  thrust::device_vector<float> d = h, e(n);
  thrust::transform(d.begin(), d.end(), e.begin(), Sq());
  float s = thrust::reduce(e.begin(), e.end());
  double want = 0;
  for (int i = 0; i < n; i++) want += h[i] * h[i];
  CHECK(std::fabs(s - want) < 1e-5 * want);
  thrust::sort(d.begin(), d.end());
  thrust::host_vector<float> r = d;
  std::sort(h.begin(), h.end());
  CHECK(r == h);
  thrust::device_vector<int> a(n, 1), b(n);
  thrust::inclusive_scan(a.begin(), a.end(), b.begin());
  CHECK(b[n - 1] == n && b[100] == 101);
  printf("thrust ok\n");
  return 0;
}
