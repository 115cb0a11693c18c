magnum_add_program(bench_driver_host NO_INSTALL SOURCES ${CMAKE_CURRENT_LIST_DIR}/driver_host.c
  LINKS magnum_drivers)
add_dependencies(bench_driver_host magnum-driver-host hello)
