magnum_add_test(cgroup2 RING component TIMEOUT 60
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cgroup2.c LINKS magnum_drivers)
