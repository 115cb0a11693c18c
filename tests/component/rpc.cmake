magnum_add_test(rpc RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/rpc.c LINKS magnum_rpc TIMEOUT 120)
# ZeroMQ is not built with the sanitizer: what it does between its own threads is invisible to it.
set_tests_properties(component/rpc PROPERTIES ENVIRONMENT
  "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
