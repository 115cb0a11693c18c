# Link test_drivers for a pool of driver hosts (support/driver_pool.h).
add_library(test_drivers STATIC ${CMAKE_CURRENT_LIST_DIR}/driver_pool.c
  ${CMAKE_CURRENT_LIST_DIR}/transport_inprocess.c)
target_include_directories(test_drivers PUBLIC ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/core)
target_link_libraries(test_drivers PUBLIC magnum_drivers magnum_host PkgConfig::cunit)
