# What many component tests share, built once: test_db (component/db_fixture.h), test_conductor
# (component/conductor_fixture.h), test_api (component/api_fixture.h).
function(magnum_test_fixture name source)
  add_library(${name} STATIC ${CMAKE_SOURCE_DIR}/tests/component/${source})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PUBLIC ${ARGN} test_pg PkgConfig::cunit)
endfunction()

magnum_test_fixture(test_db db_fixture.c magnum_db)
magnum_test_fixture(test_conductor conductor_fixture.c
  test_db magnum_conductor magnum_config magnum_rpc magnum_certs)
magnum_test_fixture(test_api api_fixture.c
  magnum_api magnum_http_client magnum_http magnum_auth magnum_rpc magnum_db magnum_config)
