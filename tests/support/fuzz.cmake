# magnum_add_fuzzer(name SOURCES ... LINKS ...): one libFuzzer target in build/fuzz/fuzzers. Seeds lie
# in tests/fuzz/corpus/<name>/. Built by the preset `fuzz` only; run by `tests/run fuzz`, which builds
# the target `fuzzers`: all of them.
if(MAGNUM_FUZZ AND NOT TARGET fuzzers)
  add_custom_target(fuzzers)
endif()

function(magnum_add_fuzzer name)
  if(NOT MAGNUM_FUZZ)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(fuzz_${name} ${A_SOURCES})
  set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzzers)
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/core
    ${CMAKE_SOURCE_DIR}/sdk/include ${CMAKE_SOURCE_DIR}/sdk ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(fuzz_${name} PRIVATE magnum_flags ${A_LINKS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers fuzz_${name})
endfunction()
