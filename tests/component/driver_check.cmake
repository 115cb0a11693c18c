# The deliberately wrong drivers, one for each fault, and what magnum-driver-check says of them.
set(wrong_dir ${CMAKE_BINARY_DIR}/tests/wrong_plugins)
set(wrong_source ${CMAKE_SOURCE_DIR}/tests/fakes/wrong)
function(wrong_plugin name fault)
  cmake_parse_arguments(A "SOFT" "MORE;OPERATIONS" "DEFINES;SOURCES" ${ARGN})
  set(NAME ${name})
  set(MORE "${A_MORE}")
  set(OPERATIONS "create, update, delete, scale, health")
  if(A_OPERATIONS)
    set(OPERATIONS "${A_OPERATIONS}")
  endif()
  configure_file(${wrong_source}/wrong.yaml.in ${wrong_dir}/${name}/wrong_${name}.yaml @ONLY)
  add_library(wrong_${name} MODULE ${wrong_source}/wrong.c ${A_SOURCES})
  target_include_directories(wrong_${name} PRIVATE ${CMAKE_SOURCE_DIR}/sdk/include)
  target_compile_definitions(wrong_${name} PRIVATE FAULT=${fault} PLUGIN_ID="test.wrong.${name}"
    ${A_DEFINES})
  target_link_libraries(wrong_${name} PRIVATE magnum_flags)
  set_target_properties(wrong_${name} PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY ${wrong_dir}/${name})
  if(A_SOFT)
    # after the flags, which ask for the contrary
    target_link_libraries(wrong_${name} PRIVATE -Wl,-z,lazy,-z,norelro)
  endif()
  set_property(GLOBAL APPEND PROPERTY MAGNUM_WRONG wrong_${name})
endfunction()

foreach(fault IN ITEMS nothing leak ledger names cancel fence secret trust state spec delete_twice
        delete_labels validate final garbage silent hangs endless health second log empty grows files
        instances major services)
  string(TOUPPER ${fault} upper)
  wrong_plugin(${fault} WRONG_${upper})
endforeach()
wrong_plugin(two_exports WRONG_NOTHING DEFINES WRONG_TWO_EXPORTS)
wrong_plugin(soft WRONG_NOTHING SOFT)
wrong_plugin(manifest WRONG_NOTHING MORE "maturitty: beta")
# wrong as files: what they do while they are loaded (2: when the loader asks an IFUNC), what they call
function(rude_plugin name at_load)
  string(TOUPPER ${name} upper)
  wrong_plugin(${name} WRONG_NOTHING SOURCES ${wrong_source}/rude.c
    DEFINES RUDE=RUDE_${upper} RUDE_AT_LOAD=${at_load})
endfunction()
foreach(what IN ITEMS file thread environment output memory signal)
  rude_plugin(load_${what} 1)
endforeach()
rude_plugin(load_ifunc 2)
foreach(what IN ITEMS exit abort system signal dlopen fork socket)
  rude_plugin(import_${what} 0)
endforeach()
wrong_plugin(operations WRONG_NOTHING OPERATIONS "create, delete")

magnum_add_system_test(driver_check RING component TIMEOUT 600)
set_tests_properties(component/driver_check PROPERTIES FIXTURES_REQUIRED kubernetes_verdict)
get_property(wrong GLOBAL PROPERTY MAGNUM_WRONG)
add_custom_target(wrong_plugins ALL DEPENDS ${wrong} magnum-driver-check hello simulator
  certs-local certs-barbican cert-mem swarm kubernetes mesos)
