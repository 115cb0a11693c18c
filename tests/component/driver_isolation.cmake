# The hostile driver, as one that may start no programs, as one that may, and as one that asks for
# the conductor's own rights without being granted them.
set(hostile_dir ${CMAKE_BINARY_DIR}/tests/hostile_plugins)
set(hostile_source ${CMAKE_SOURCE_DIR}/tests/fakes/hostile)
function(hostile_plugin NAME MORE)
  configure_file(${hostile_source}/hostile.yaml.in ${hostile_dir}/hostile_${NAME}.yaml @ONLY)
  add_library(hostile_${NAME} MODULE ${hostile_source}/hostile.c ${hostile_source}/harm_others.c
    ${hostile_source}/harm_machine.c)
  target_include_directories(hostile_${NAME} PRIVATE ${CMAKE_SOURCE_DIR}/sdk/include)
  target_compile_definitions(hostile_${NAME} PRIVATE HOSTILE_ID="test.hostile.${NAME}")
  target_link_libraries(hostile_${NAME} PRIVATE magnum_flags PkgConfig::jansson Threads::Threads)
  file(WRITE ${hostile_dir}/hostile.map "{ global: mag_plugin_entry; local: *; };\n")
  target_link_options(hostile_${NAME} PRIVATE -Wl,--version-script=${hostile_dir}/hostile.map)
  set_target_properties(hostile_${NAME} PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY ${hostile_dir})
endfunction()
hostile_plugin(plain "exec: false")
hostile_plugin(exec "exec: true")
hostile_plugin(greedy "exec: true\nprivileged: true")

magnum_add_test(driver_isolation RING component TIMEOUT 180
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/driver_isolation.c LINKS test_drivers)
add_dependencies(test_component_driver_isolation magnum-driver-host simulator hostile_plain hostile_exec
  hostile_greedy)
