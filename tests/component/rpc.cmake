add_library(test_rpc_node STATIC ${CMAKE_CURRENT_LIST_DIR}/rpc_node.c)
target_include_directories(test_rpc_node PRIVATE ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(test_rpc_node PUBLIC magnum_rpc PkgConfig::cunit)
foreach(name IN ITEMS rpc rpc_faults rpc_keys rpc_news)
  magnum_add_test(${name} RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c
                  LINKS test_rpc_node TIMEOUT 300)
  # ZeroMQ is not built with the sanitizer: what it does between its own threads is invisible to it.
  set_tests_properties(component/${name} PROPERTIES ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endforeach()
