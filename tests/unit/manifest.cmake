magnum_add_test(manifest RING unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/manifest.c
  LINKS magnum_drivers magnum_host_wire)
add_dependencies(test_unit_manifest hello simulator fixture_two_exports)
