# A conductor in the test's process, with a Keystone of the test's own.
magnum_add_test(conductor_trust RING component TIMEOUT 600
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/conductor_trust.c LINKS test_conductor magnum_http)
add_dependencies(test_component_conductor_trust magnum-conductor magnum-driver-host simulator)
