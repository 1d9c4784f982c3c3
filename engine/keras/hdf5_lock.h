/*
 * libhdf5 works for one thread at a time. Who calls it holds this lock; so does who forks a child that will call it,
 * so that the child gets a library that is at rest.
 */
#ifndef ENGINE_KERAS_HDF5_LOCK_H
#define ENGINE_KERAS_HDF5_LOCK_H

void hdf5_lock(void);
void hdf5_unlock(void);

#endif
