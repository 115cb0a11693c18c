# The filters of system calls are made here, so that a driver's process need not make its own.
add_executable(make_host_filters ${CMAKE_CURRENT_LIST_DIR}/make_host_filters.c)
target_include_directories(make_host_filters PRIVATE ${CMAKE_SOURCE_DIR}/core)
target_link_libraries(make_host_filters PRIVATE magnum_flags PkgConfig::seccomp)
set_target_properties(make_host_filters PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
set(host_filters ${CMAKE_CURRENT_BINARY_DIR}/host_filters.c)
add_custom_command(OUTPUT ${host_filters} COMMAND make_host_filters ${host_filters}
  DEPENDS make_host_filters COMMENT "Making the filters of system calls" VERBATIM)

magnum_add_program(magnum-driver-host
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-driver-host.c ${CMAKE_CURRENT_LIST_DIR}/host_confine.c
    ${CMAKE_CURRENT_LIST_DIR}/host_view.c ${CMAKE_CURRENT_LIST_DIR}/host_calls.c ${host_filters}
  LINKS magnum_host magnum_base DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/magnum)
