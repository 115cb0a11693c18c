# Real conductors, driver hosts, the simulator and PostgreSQL.
foreach(part IN ITEMS life stuck faults takeover rpc broker heal workload)
  magnum_add_test(conductor_${part} RING component TIMEOUT 600
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/conductor_${part}.c
    LINKS test_conductor magnum_http PkgConfig::openssl)
  add_dependencies(test_component_conductor_${part} magnum-conductor magnum-driver-host simulator)
endforeach()
magnum_add_test(conductor_queue RING component SOURCES ${CMAKE_CURRENT_LIST_DIR}/conductor_queue.c
  LINKS magnum_conductor)
magnum_add_test(conductor_periodic RING component TIMEOUT 600
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/conductor_periodic.c
  LINKS test_conductor PkgConfig::czmq PkgConfig::zmq)
add_dependencies(test_component_conductor_periodic magnum-conductor magnum-driver-host simulator
  magnum-driver-manage)
