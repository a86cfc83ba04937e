// SPDX-License-Identifier: Apache-2.0
extern __device__ int shared_value;
__device__ int twice(int x) { return 2 * x; }
__global__ void other(int* o) { o[threadIdx.x] = threadIdx.x + shared_value; }
