# The next version of the simulator, from the same sources: what an upgrade installs.
set(next_dir ${CMAKE_BINARY_DIR}/tests/driver_next)
set(simulator ${CMAKE_SOURCE_DIR}/sdk/examples/simulator)
file(GLOB simulator_sources CONFIGURE_DEPENDS ${simulator}/*.c)
add_library(simulator_next MODULE ${simulator_sources})
target_compile_definitions(simulator_next PRIVATE SIM_VERSION="1.1.0")
file(WRITE ${next_dir}/simulator.map "{ global: mag_plugin_entry; local: *; };\n")
set_target_properties(simulator_next PROPERTIES PREFIX "" OUTPUT_NAME simulator
  C_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${next_dir})
target_link_libraries(simulator_next PRIVATE magnum_flags magnum_sdk)
target_link_options(simulator_next PRIVATE -Wl,--version-script=${next_dir}/simulator.map)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${simulator}/simulator.yaml)
file(READ ${simulator}/simulator.yaml manifest)
string(REPLACE "version: 1.0.0" "version: 1.1.0" manifest "${manifest}")
file(GENERATE OUTPUT ${next_dir}/simulator.yaml CONTENT "${manifest}")
configure_file(${simulator}/simulator.labels.schema.json ${next_dir} COPYONLY)

# Ends a process at the nth of its writes to disk: see test_driver_swap.py.
add_library(kill_at MODULE ${CMAKE_SOURCE_DIR}/tests/support/kill_at.c)
target_link_libraries(kill_at PRIVATE magnum_flags)
set_target_properties(kill_at PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

magnum_add_system_test(driver_swap TIMEOUT 900)
