# Everything the API must refuse, generated from its attribute and route tables.
magnum_test_fixture(test_api_bad api_bad.c test_api)
foreach(part IN ITEMS bodies patches queries)
  magnum_add_test(api_bad_${part} RING component TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_bad_${part}.c LINKS test_api_bad)
  set_tests_properties(component/api_bad_${part} PROPERTIES ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endforeach()
