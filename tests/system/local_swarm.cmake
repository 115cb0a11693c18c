# The swarm plugin on real local nodes; exit status 77 = this machine lacks root or the packages.
set(local_swarm_support ${CMAKE_CURRENT_LIST_DIR}/local_swarm_host.c
  ${CMAKE_CURRENT_LIST_DIR}/local_swarm_cert.c ${CMAKE_CURRENT_LIST_DIR}/local_swarm_look.c)
foreach(t IN ITEMS local_swarm local_swarm_crash)
  magnum_add_test(${t} RING system TIMEOUT 600
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/${t}.c ${local_swarm_support}
    LINKS magnum_local PkgConfig::curl PkgConfig::openssl PkgConfig::uuid ${CMAKE_DL_LIBS})
  add_dependencies(test_system_${t} swarm magnum-local-node)
  set_tests_properties(system/${t} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
