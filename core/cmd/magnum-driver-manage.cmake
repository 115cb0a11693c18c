set(manage ${CMAKE_CURRENT_LIST_DIR}/driver_manage)
magnum_add_program(magnum-driver-manage
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-driver-manage.c
    ${manage}_info.c ${manage}_list.c ${manage}_output.c ${manage}_verify.c ${manage}_decide.c
    ${manage}_versions.c ${manage}_explain.c ${manage}_settings.c ${manage}_bundle.c
    ${manage}_vendor.c ${manage}_verdict.c ${manage}_leaks.c
  LINKS magnum_api magnum_drivers magnum_db magnum_config magnum_host_wire magnum_base PkgConfig::smartcols)
target_compile_definitions(magnum-driver-manage PRIVATE
  MAGNUM_SDK_TEMPLATE_DIR="${CMAKE_INSTALL_FULL_DATADIR}/magnum-sdk/template")
add_dependencies(magnum-driver-manage magnum-driver-host) # verify starts it
