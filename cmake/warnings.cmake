# SPDX-License-Identifier: Apache-2.0
# The warnings of every target of this project: one list for gcc and clang, one for nvcc. Errors with SWD_WERROR.
set(swd_host_warnings -Wall -Wextra -Wsign-conversion)
# nvcc's generated host code is not ours to keep free of conversions.
set(swd_cuda_warnings "-Xcompiler=-Wall,-Wextra")
if(SWD_WERROR)
  list(APPEND swd_host_warnings -Werror)
  list(APPEND swd_cuda_warnings -Xcompiler=-Werror "SHELL:-Werror all-warnings")
endif()

function(swd_target_warnings target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:${swd_host_warnings}>
                                           $<$<COMPILE_LANGUAGE:CUDA>:${swd_cuda_warnings}>)
endfunction()
