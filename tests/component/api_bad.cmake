# Everything the API must refuse, generated from its attribute and route tables.
foreach(part IN ITEMS bodies patches queries)
  magnum_add_test(api_bad_${part} RING component TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/api_bad_${part}.c ${CMAKE_CURRENT_LIST_DIR}/api_bad.c
            ${CMAKE_CURRENT_LIST_DIR}/api_fixture.c
    LINKS magnum_api magnum_http_client magnum_http magnum_auth magnum_rpc magnum_db magnum_config test_pg)
  set_tests_properties(component/api_bad_${part} PROPERTIES ENVIRONMENT
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp")
endforeach()
