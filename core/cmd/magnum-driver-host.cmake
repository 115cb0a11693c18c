magnum_add_program(magnum-driver-host
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-driver-host.c ${CMAKE_CURRENT_LIST_DIR}/host_confine.c
    ${CMAKE_CURRENT_LIST_DIR}/host_view.c ${CMAKE_CURRENT_LIST_DIR}/host_calls.c
  LINKS magnum_host magnum_base PkgConfig::seccomp DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/magnum)
