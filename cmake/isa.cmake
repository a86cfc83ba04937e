# SPDX-License-Identifier: Apache-2.0
# swd_source_isa(SOURCE MACRO OPTIONS...): compiles SOURCE with the first of OPTIONS that this compiler takes and that make
# it define MACRO, for x86-64; with none of them the source stays as it is. SWD_NAME_found, NAME being that of the file,
# says whether there was one. Compilers spell the same level differently, and older ones know its parts only. Probed, not
# looked up by processor: CMake knows that of the host, while the compiler may have been told another (-m32, -target).
# Used by CMakeLists.txt.
include(CheckCXXSourceCompiles)

function(swd_source_isa source macro)
  get_filename_component(name ${source} NAME_WE)
  set(CMAKE_REQUIRED_QUIET ON)
  set(tried 0)
  foreach(options IN LISTS ARGN)
    math(EXPR tried "${tried} + 1")
    set(found SWD_${name}_option_${tried})
    set(CMAKE_REQUIRED_FLAGS ${options})
    check_cxx_source_compiles("
      #if !defined(__x86_64__) || !defined(${macro})
      #error not this instruction set
      #endif
      int main() { return 0; }" ${found})
    if(${found})
      separate_arguments(options)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
      set(SWD_${name}_found ON PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(SWD_${name}_found OFF PARENT_SCOPE)
  message(STATUS "swd: the compiler does not make code with ${macro} for this target, ${name} is left out")
endfunction()
