# A conductor in the test's process, with a Keystone of the test's own.
magnum_add_test(conductor_trust RING component TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/conductor_trust.c
          ${CMAKE_CURRENT_LIST_DIR}/conductor_fixture.c ${CMAKE_CURRENT_LIST_DIR}/db_fixture.c
  LINKS magnum_conductor magnum_http magnum_config magnum_rpc magnum_certs magnum_db test_pg)
add_dependencies(test_component_conductor_trust magnum-conductor magnum-driver-host simulator)
