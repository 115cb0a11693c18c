magnum_add_program(magnum-driver-manage
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-driver-manage.c
    ${CMAKE_CURRENT_LIST_DIR}/driver_manage_info.c ${CMAKE_CURRENT_LIST_DIR}/driver_manage_output.c
    ${CMAKE_CURRENT_LIST_DIR}/driver_manage_verify.c ${CMAKE_CURRENT_LIST_DIR}/driver_manage_leaks.c
  LINKS magnum_drivers magnum_db magnum_config magnum_host_wire magnum_base PkgConfig::smartcols)
add_dependencies(magnum-driver-manage magnum-driver-host) # verify starts it
