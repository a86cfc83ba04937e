/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a typed FFI handler as XLA does, where there is no XLA for the device: test_jax_cuda.py compiles and loads it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

typedef struct {
  void* data;
  int64_t count;
  int64_t dtype;
} Array;

typedef struct {
  const char* name;
  Array value;
  int64_t is_array;
} Attribute;

enum { kMost = 256 };

struct XLA_FFI_Error {
  char message[512];
};

static XLA_FFI_Error* create_error(XLA_FFI_Error_Create_Args* args) {
  XLA_FFI_Error* error = malloc(sizeof(XLA_FFI_Error));
  snprintf(error->message, sizeof(error->message), "%s", args->message);
  return error;
}

static XLA_FFI_Error* get_stream(XLA_FFI_Stream_Get_Args* args) {
  args->stream = *(void**)args->ctx;
  return NULL;
}

static void* buffers_of(XLA_FFI_Buffer* buffers, void** pointers, Array* arrays, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    buffers[i] = (XLA_FFI_Buffer){
        XLA_FFI_Buffer_STRUCT_SIZE, NULL, (XLA_FFI_DataType)arrays[i].dtype, arrays[i].data, 1, &arrays[i].count};
    pointers[i] = &buffers[i];
  }
  return pointers;
}

/* Attributes by name, in order. Returns what the handler said, or NULL; to be freed. */
char* call_handler(XLA_FFI_Handler* handler, void* stream, Array* in, int64_t in_count, Array* out, int64_t out_count,
                   Attribute* attributes, int64_t attribute_count) {
  static XLA_FFI_Buffer in_buffers[kMost], out_buffers[kMost];
  static void *in_pointers[kMost], *out_pointers[kMost], *values[kMost];
  static XLA_FFI_ArgType in_types[kMost];
  static XLA_FFI_RetType out_types[kMost];
  static XLA_FFI_AttrType kinds[kMost];
  static XLA_FFI_ByteSpan spans[kMost], *names[kMost];
  static XLA_FFI_Scalar scalars[kMost];
  static XLA_FFI_Array arrays[kMost];
  if (in_count > kMost || out_count > kMost || attribute_count > kMost) return strdup("too many");
  for (int i = 0; i < kMost; ++i) in_types[i] = XLA_FFI_ArgType_BUFFER, out_types[i] = XLA_FFI_RetType_BUFFER;
  for (int64_t i = 0; i < attribute_count; ++i) {
    Attribute* from = &attributes[i];
    spans[i] = (XLA_FFI_ByteSpan){from->name, strlen(from->name)};
    names[i] = &spans[i];
    scalars[i] = (XLA_FFI_Scalar){(XLA_FFI_DataType)from->value.dtype, from->value.data};
    arrays[i] = (XLA_FFI_Array){(XLA_FFI_DataType)from->value.dtype, (size_t)from->value.count, from->value.data};
    kinds[i] = from->is_array ? XLA_FFI_AttrType_ARRAY : XLA_FFI_AttrType_SCALAR;
    values[i] = from->is_array ? (void*)&arrays[i] : (void*)&scalars[i];
  }
  XLA_FFI_Api api = {XLA_FFI_Api_STRUCT_SIZE};
  api.XLA_FFI_Error_Create = create_error;
  api.XLA_FFI_Stream_Get = get_stream;
  XLA_FFI_CallFrame frame = {XLA_FFI_CallFrame_STRUCT_SIZE};
  frame.api = &api;
  frame.ctx = (XLA_FFI_ExecutionContext*)&stream;
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = (XLA_FFI_Args){XLA_FFI_Args_STRUCT_SIZE, NULL, in_count, in_types,
                              buffers_of(in_buffers, in_pointers, in, in_count)};
  frame.rets = (XLA_FFI_Rets){XLA_FFI_Rets_STRUCT_SIZE, NULL, out_count, out_types,
                              buffers_of(out_buffers, out_pointers, out, out_count)};
  frame.attrs = (XLA_FFI_Attrs){XLA_FFI_Attrs_STRUCT_SIZE, NULL, attribute_count, kinds, names, values};
  XLA_FFI_Error* error = handler(&frame);
  char* message = error ? strdup(error->message) : NULL;
  free(error);
  return message;
}
