# The whole API in one process, with PostgreSQL and ZeroMQ for real.
foreach(part IN ITEMS http life labels nodegroups compat hostile events plans legacy)
  magnum_add_test(api_${part} RING component TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_${part}.c LINKS test_api)
  set_tests_properties(component/api_${part} PROPERTIES ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endforeach()
magnum_add_test(api_program RING component TIMEOUT 120
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_program.c LINKS test_pg)
add_dependencies(test_component_api_program magnum-api magnum-db-manage)
