# SPDX-License-Identifier: Apache-2.0
# Runs the examples of docs/integration.md, and compares the document with them. Included by tests/CMakeLists.txt.
set(swd_examples ${PROJECT_SOURCE_DIR}/examples)

if(TARGET swd_sharded)
  add_test(NAME example.sharded COMMAND ${CMAKE_CURRENT_LIST_DIR}/example_sharded.sh $<TARGET_FILE:swd_sharded>)
  set_tests_properties(example.sharded PROPERTIES LABELS cpu TIMEOUT 300)
endif()
if(TARGET swd_sharded_mpi)
  add_test(NAME example.sharded_mpi COMMAND ${CMAKE_CURRENT_LIST_DIR}/example_sharded.sh
                                            $<TARGET_FILE:swd_sharded_mpi> ${MPIEXEC_EXECUTABLE})
  set_tests_properties(example.sharded_mpi PROPERTIES LABELS cpu TIMEOUT 300)
endif()
if(TARGET swd_sharded_nccl)
  add_library(nccl_stand_in SHARED ${CMAKE_CURRENT_LIST_DIR}/nccl_stand_in.cpp)
  set_target_properties(nccl_stand_in PROPERTIES OUTPUT_NAME nccl VERSION 2 SOVERSION 2
                                                 LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/nccl_stand_in)
  target_compile_features(nccl_stand_in PRIVATE cxx_std_17)
  target_include_directories(nccl_stand_in SYSTEM PRIVATE ${NCCL_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(nccl_stand_in PRIVATE ${SWD_CUDART_TARGET})
  swd_test_options(nccl_stand_in)
  add_test(NAME example.sharded_nccl COMMAND ${CMAKE_CURRENT_LIST_DIR}/example_sharded_nccl.sh
           $<TARGET_FILE:swd_sharded_nccl> $<TARGET_FILE_DIR:nccl_stand_in> $<TARGET_FILE:swd_sharded>)
  set_tests_properties(example.sharded_nccl PROPERTIES LABELS cuda TIMEOUT 900)
endif()
if(TARGET swd_cuda_trainer)
  add_test(NAME example.cuda_trainer COMMAND ${CMAKE_CURRENT_LIST_DIR}/example_graph.sh
                                             $<TARGET_FILE:swd_cuda_trainer>)
  set_tests_properties(example.cuda_trainer PROPERTIES LABELS cuda TIMEOUT 900)
endif()
if(TARGET swd_jax)
  add_test(NAME example.jax COMMAND ${Python3_EXECUTABLE} -m pytest -q -p no:cacheprovider ${swd_examples}/jax)
  set_tests_properties(example.jax PROPERTIES LABELS cpu TIMEOUT 900 ENVIRONMENT SWD_JAX_LIBRARY=$<TARGET_FILE:swd_jax>)
endif()

find_package(Python3 QUIET COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  set(check_snippets ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/check_snippets.py)
  add_test(NAME docs.snippets COMMAND ${check_snippets} ${PROJECT_SOURCE_DIR} docs/integration.md)
  add_test(NAME docs.snippets.self_test COMMAND ${check_snippets} --self-test)
  set_tests_properties(docs.snippets docs.snippets.self_test PROPERTIES LABELS cpu)
endif()
if(TARGET images)  # its tables want the matplotlib of the system, as scripts/demo.sh has it
  set(example_images /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/interface/example_images.py $<TARGET_FILE:images>
                     ${PROJECT_SOURCE_DIR})
  add_test(NAME example.images.gradients COMMAND images_gradient_check)
  add_test(NAME example.images COMMAND ${example_images})
  set_tests_properties(example.images.gradients example.images PROPERTIES LABELS cpu TIMEOUT 600)
  if(SWD_WITH_CUDA)
    add_test(NAME example.images.cuda COMMAND ${example_images} --cuda)
    set_tests_properties(example.images.cuda PROPERTIES LABELS cuda TIMEOUT 600)
  endif()
endif()
